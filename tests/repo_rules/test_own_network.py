"""docs/own-network.md: what a network must answer, in pieces of one that is tested."""

from __future__ import annotations

import re
from pathlib import Path

from ofa_bench.nets.protocol import Calibrates, SortsChannels, Supernet

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-network.md").read_text(encoding="utf-8")
PLAIN = ROOT / "tests" / "example_plugins" / "ofa-bench-plain" / "ofa_bench_plain"


def test_every_member_of_the_protocols_is_told() -> None:
    members = {
        name
        for protocol in (Supernet, Calibrates, SortsChannels)
        for name in {**vars(protocol), **protocol.__annotations__}
        if not name.startswith("_")
    }
    assert members >= {"key", "run", "reachable", "norms", "channel_order", "stochastic"}
    for name in members:
        assert re.search(rf"`{name}[`(]", PAGE), name


def test_its_pieces_are_of_the_network_that_is_tested() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in PLAIN.glob("*.py"))
    network = PAGE.partition("## A network")[2].partition("## A data set")[0]
    pieces = re.findall(r"```python\n(.*?)```", network, re.S)
    assert len(pieces) == 3
    for piece in pieces:
        assert piece in source


def test_the_size_it_names() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in PLAIN.glob("*.py"))
    assert lines <= 250
    assert "a whole one in 250 lines" in PAGE
