"""Every mix of the methods' policies trains or is refused before data is touched."""

from __future__ import annotations

import importlib
import itertools
from types import SimpleNamespace

import pytest

from ofa_bench import Budget, Catalogue, MisfitError
from ofa_bench.planning.compatibility import check_fit
from ofa_bench.space import load_space

SHRINKS = ("progressive", "coupled", "sandwich", "delayed")
RATES = ("cosine", "exponential", "ramped")
TEACHERS = ("frozen", "inplace", "labels")
FITS = {
    *itertools.product(("progressive", "coupled"), ("cosine", "exponential"), ("frozen", "labels")),
    *itertools.product(("sandwich",), ("cosine", "exponential"), ("inplace", "labels")),
    *itertools.product(("delayed",), RATES, TEACHERS),
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    found = Catalogue()
    for name in ("basics", "bignas", "compofa", "deps", "ofa"):
        importlib.import_module(f"ofa_bench_{name}").register(found)
    return found


def test_twenty_one_fit():
    assert len(FITS) == 21


@pytest.mark.parametrize("mix", [*itertools.product(SHRINKS, RATES, TEACHERS)], ids="+".join)
def test_mix(catalogue, mix):
    families = dict(zip(("shrink", "lr", "distill"), mix, strict=True))
    policies = {family: catalogue.get(family, n).load()() for family, n in families.items()}
    phases = policies["shrink"].shrink_phases(load_space("laptop-8"), Budget(10, 270))
    teachers = {
        phase.name: policies["distill"].distill_teacher(phase, phases[:place])
        for place, phase in enumerate(phases)
    }
    science = SimpleNamespace(**{f: SimpleNamespace(name=n) for f, n in families.items()})
    if mix in FITS:
        check_fit(science, policies, phases, teachers)
        return
    with pytest.raises(MisfitError) as refused:
        check_fit(science, policies, phases, teachers)
    assert sum(repr(name) in refused.value.message for name in mix) == 2
    assert refused.value.hint
