"""A network of one's own keeps the contract, and each way to break it is caught."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

from ofa_bench.testing import ContractReport, check_plugin

PLAIN = (
    Path(__file__).resolve().parents[1] / "example_plugins" / "ofa-bench-plain" / "ofa_bench_plain"
)


def checked(
    name: str, folder: Path, patch: pytest.MonkeyPatch, old: str = "", new: str = ""
) -> ContractReport:
    """The stranger's network under another name, one line changed."""
    package = shutil.copytree(PLAIN, folder / name)
    texts = {path: path.read_text() for path in package.glob("*.py")}
    assert any(old in text for text in texts.values())
    for path, text in texts.items():
        path.write_text(text.replace(old, new).replace("ofa_bench_plain", name))
    patch.syspath_prepend(str(folder))
    patch.setenv("PYTHONPATH", str(folder))
    return check_plugin(importlib.import_module(name), trains=False)


def test_the_sound_one_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = checked("plain_sound", tmp_path, monkeypatch)
    assert report.ok, str(report)
    kept = {verdict.clause for verdict in report.verdicts if verdict.ok}
    assert {
        "MACs and parameters match torch's counts",
        "extracted subnets match the supernet",
        "equal keys give equal activations",
        "assembles into a run",
    } <= kept


@pytest.mark.parametrize(
    ("clause", "place", "old", "new"),
    [
        (
            "MACs and parameters match torch's counts",
            "costs.py",
            "middle * (inputs * kernel**2",
            "middle * (kernel**2",
        ),
        (
            "MACs and parameters match torch's counts",
            "costs.py",
            "2 * (middle + row.width)",
            "2 * row.width",
        ),
        (
            "extracted subnets match the supernet",
            "net.py",
            "like.weight[:channels]",
            "like.weight[-(channels or 0) :]",
        ),
        (
            "extracted subnets match the supernet",
            "net.py",
            "block.cut(*key)",
            "block.cut(max(3, key[0] - 2), key[1])",
        ),
        (
            "equal keys give equal activations",
            "net.py",
            "None if kernel is None else (kernel, subnet.expand[index - 1])",
            "None if kernel is None else kernel",
        ),
        (
            "a key determines its block's output",
            "net.py",
            "block(x, *key) if isinstance(block, Block)",
            "block(x, *key) * subnet.kernel[0] if isinstance(block, Block)",
        ),
        (
            "run over all blocks equals forward",
            "net.py",
            "images = self.run(index, images, self.active, None)",
            "images = self.run(index, images, self.space.largest, None)",
        ),
        (
            "reachable names the trained parameters",
            "net.py",
            "slots[: max(options.depth)]",
            "slots",
        ),
        ("norms names every batch norm", "net.py", "correction=0", "correction=3"),
        (
            "the seed determines the weights",
            "net.py",
            "torch.manual_seed(seed)",
            "torch.manual_seed(1)",
        ),
        (
            "importing it loads no heavy library",
            "costs.py",
            "from ofa_bench import Table",
            "import torch\nfrom ofa_bench import Table",
        ),
        ("assembles into a run", "", 'catalogue.specs(Path(__file__).parent / "specs")', "pass"),
    ],
    ids=[
        "macs",
        "params",
        "norm",
        "kernel",
        "key",
        "enough",
        "forward",
        "reach",
        "spread",
        "seed",
        "heavy",
        "bare",
    ],
)
def test_a_broken_one_is_caught(
    clause: str, place: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"plain_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")
    report = checked(name, tmp_path, monkeypatch, old, new)
    caught = [verdict for verdict in report.broken if verdict.clause == clause]
    assert caught, str(report)
    assert caught[0].where.startswith(place), str(caught[0])
    assert caught[0].see
