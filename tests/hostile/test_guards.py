"""The fuzzer itself can fail: each misdeed it looks for, done by a plugin, is a finding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hostile.box import Box
from tests.hostile.campaign import Campaign, Server
from tests.hostile.execution import Case

MISDEEDS = {
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "hang": "import time; time.sleep(60)",
    "escape": "open('../canary/x', 'a').write('changed')",
    "leftover": "import tempfile; tempfile.mkdtemp()",
    "memory": "raise MemoryError",
    "terminal": r"print('\x1b[2J')",
    "traceback": "print('Traceback (most recent call last)', file=__import__('sys').stderr)",
}


def ended(server: Server, code: str, **more: object) -> set[str]:
    """The kinds of findings for a command that executes this code."""
    box = Box(server.box.parent / "ready").make()
    (box.work / "misdeed.py").write_text(code + "\n")
    case = Case([["list", "methods", "--plugin", "misdeed.py"]])
    (box.root / "case.json").write_text(json.dumps({**vars(case), **more}))
    return {what for what, _ in server.ask(box=str(box.root))["findings"]}


@pytest.mark.parametrize("what", list(MISDEEDS))
def test_a_misdeed_is_found(what: str, server: Server) -> None:
    seconds = 1.5 if what == "hang" else 5.0
    assert what in ended(server, MISDEEDS[what], seconds=seconds)


def test_memory_is_bounded(server: Server) -> None:
    assert ended(server, "held = bytearray(3 << 30)") & {"memory", "traceback"}


def test_innocence_is_no_finding(server: Server) -> None:
    assert not ended(server, "open('here', 'w').close()")


def test_what_must_be_refused_or_shown(server: Server) -> None:
    assert ended(server, "", commands=[["list", "methods"]], refused=[0]) == {"lie"}
    assert ended(server, "", commands=[["list", "nonsense"]], shown=[0]) == {"blocked"}


def test_an_end_in_the_middle_is_found(server: Server) -> None:
    assert ended(server, "import os; os._exit(7)") == {"traceback"}


def test_findings_are_kept_and_counted_once(server: Server, tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "kept")
    Box(server.box).make()
    answer = {"codes": [1], "findings": [["escape", "/a/b"]], "seconds": 1.0, "mebibytes": 5}
    for seed in range(3):
        campaign.note("records", seed, answer, server.box)
    ((finding, count),) = campaign.distinct()
    assert count == 3
    assert (Path(finding.kept) / "finding.txt").is_file()
    assert "findings" in campaign.table()
