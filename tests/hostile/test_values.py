"""Odd values by Hypothesis: what it finds it also makes small."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from tests.hostile.box import Box
from tests.hostile.campaign import Server
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case
from tests.hostile.kinds.records import results
from tests.hostile.spelling import spell_json, spell_toml
from tests.hostile.values import settings, trees

CI = configured(
    max_examples=15,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
tables = st.dictionaries(st.sampled_from(["optim", "net", "budget", "shrink", "a"]), trees)


def ended(server: Server, lay: Callable[[Box], Case]) -> None:
    """Lay a case, run it, and fail with its findings."""
    box = Box(server.box.parent / "ready").make()
    case = lay(box)
    (box.root / "case.json").write_text(json.dumps(vars(case)))
    answer = server.ask(box=str(box.root))
    assert not answer["findings"], answer


@given(said=st.lists(settings, min_size=1, max_size=2))
@CI
def test_settings(said: list[str], server: Server) -> None:
    words = [word for text in said for word in ("--set", text)]
    ended(server, lambda box: Case([["plan", *words]]))


@given(tree=tables)
@CI
def test_recipes(tree: dict[str, object], server: Server) -> None:
    def lay(box: Box) -> Case:
        raw = spell_toml(tree).encode("utf-8", "surrogatepass")
        (box.work / "r.toml").write_bytes(raw)
        return Case([["plan", "--recipe", "r.toml"]])

    ended(server, lay)


@pytest.mark.parametrize("suffix", [".json", ".readings"])
@given(tree=trees)
@CI
def test_what_lies_among_the_records(
    suffix: str, tree: object, server: Server, corpus: Corpus
) -> None:
    def lay(box: Box) -> Case:
        victim = results(box, corpus)[0]
        raw = spell_json(tree).encode("utf-8", "surrogatepass")
        victim.with_suffix(suffix).write_bytes(raw)
        return Case([["runs"], ["board", "digits"]], shown=[0, 1])

    ended(server, lay)
