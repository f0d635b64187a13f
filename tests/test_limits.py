"""Bounds on strangers' files: named, told, raised by an option."""

from __future__ import annotations

import pytest

from ofa_bench.errors import UsageError
from ofa_bench.limits import LIMITS, VARIABLE, advice, limit, override


@pytest.fixture(autouse=True)
def no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")


def test_an_option_replaces_a_bound_for_this_process_and_its_children() -> None:
    override(["image-pixels=4e8"])
    assert limit("image-pixels") == 400_000_000
    override([])
    assert limit("image-pixels") == 400_000_000


@pytest.mark.parametrize("setting", ["image-pixel=3", "image-pixels", "image-pixels=x",
                                     "image-pixels=0", "image-pixels=nan", "image-pixels=1e400",
                                     "image-pixels=" + "9" * 5000])  # fmt: skip
def test_a_setting_that_cannot_be_meant_is_refused(setting: str) -> None:
    with pytest.raises(UsageError):
        override([setting])


def test_advice_names_the_option_and_a_value_that_suffices() -> None:
    assert advice("image-pixels", 10**9).endswith("--limit image-pixels=1000000000")


def test_every_limit_says_what_it_bounds() -> None:
    assert all(item.value > 0 and item.unit and item.bounds for item in LIMITS.values())
