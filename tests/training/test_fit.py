"""Of the 36 mixes of named policies 21 train and 15 are refused, naming both sides."""

from __future__ import annotations

import pytest

from ofa_bench import MisfitError, api


def refused(shrink: str, lr: str, distill: str) -> bool:
    """The rule, written down apart from the code."""
    if lr == "ramped" and shrink != "delayed":
        return True
    if distill == "inplace":
        return shrink in ("progressive", "coupled")
    return distill == "frozen" and shrink == "sandwich"


@pytest.mark.parametrize("distill", ["frozen", "inplace", "labels"])
@pytest.mark.parametrize("lr", ["cosine", "exponential", "ramped"])
@pytest.mark.parametrize("shrink", ["progressive", "coupled", "sandwich", "delayed"])
def test_mix(shrink: str, lr: str, distill: str) -> None:
    asked = {"shrink": shrink, "lr": lr, "distill": distill, "dataset": "digits"}
    if not refused(shrink, lr, distill):
        assert api.plan(**asked).schedule.steps > 0
        return
    with pytest.raises(MisfitError) as caught:
        api.plan(**asked)
    assert caught.value.exit_code == 2
    assert repr(shrink) in caught.value.message
    assert repr(lr) in caught.value.message or repr(distill) in caught.value.message
    assert caught.value.hint
