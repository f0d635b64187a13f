"""Strangers' files end in success or in a sentence: a fixed number of cases of every kind.

The seeds are fixed, so a tree either holds or does not. `tox -e fuzz` goes on for as long as it
may; `python -m tests.hostile --kind KIND --seed N --cases 1` runs one case again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.campaign import Campaign, Server, judged
from tests.hostile.kinds import KINDS

CASES = 12
FEWER = {"comparisons": 6, "weights": 10, "checkpoints": 10, "folders": 10}
FEWER |= {"searches": 8, "scores": 8, "launches": 8}
FEWER |= {"labels": 6, "class-archives": 4}
GUARD = 15.0  # seconds a kind: on a machine that is very busy some cases are left out
LEAST = 4


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_case_ends_well(
    kind: str, server: Server, tmp_path: Path, record_property: Any
) -> None:
    campaign, began = Campaign(tmp_path / "findings"), time.monotonic()
    for seed in range(FEWER.get(kind, CASES)):
        if seed >= LEAST and time.monotonic() - began > GUARD:
            break
        campaign.note(kind, seed, judged(server, kind, seed), server.box)
    ends = campaign.ends[kind]
    told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    record_property("hostile", f"{kind}: {sum(ends.values())} cases ({told})")
    assert not campaign.findings, "\n".join(str(finding) for finding, _ in campaign.distinct())
