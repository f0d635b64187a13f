"""Which compositions an ablation runs: a method with each policy made plain, or every legal mix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from ofa_bench import api
from ofa_bench.cli import console
from ofa_bench.errors import MisfitError
from ofa_bench.recipe.load import FAMILIES
from ofa_bench.records.store import StoredRecord
from ofa_bench.spec_files import load_toml, specs_root

Mix = dict[str, str]


def without(method: Mapping[str, str], asked: Mapping[str, Any]) -> list[Mix]:
    """The method itself, then with each policy in turn replaced by the plain one of its family.

    Where that leaves another policy without what it needs, that one turns plain too.
    """
    plain: Mix = load_toml(specs_root() / "defaults.toml")["ablate"]
    whole = {family: method[family] for family in FAMILIES}
    mixes = [whole]
    for family in FAMILIES:
        if whole[family] != plain[family]:
            mix = next(_legal(whole, family, plain, asked), None)
            if mix is not None and mix not in mixes:
                mixes.append(mix)
    return mixes


def _legal(whole: Mix, family: str, plain: Mix, asked: Mapping[str, Any]) -> Iterator[Mix]:
    """Mixes with the family plain, and with as few others plain as must be."""
    others = [other for other in FAMILIES if other != family and whole[other] != plain[other]]
    for count in range(len(others) + 1):
        for turned in combinations(others, count):
            mix = whole | {name: plain[name] for name in (family, *turned)}
            if fits(mix, asked):
                yield mix


def grid(asked: Mapping[str, Any]) -> list[Mix]:
    """Every legal mix of the named policies."""
    table: dict[str, list[str]] = load_toml(specs_root() / "defaults.toml")["grid"]
    mixes = (dict(zip(FAMILIES, names, strict=True)) for names in product(*table.values()))
    return [mix for mix in mixes if fits(mix, asked)]


def fits(mix: Mix, asked: Mapping[str, Any]) -> bool:
    """Whether the policies go together."""
    try:
        api.plan(**{**asked, **mix})
    except MisfitError:
        return False
    return True


def effects(scores: Sequence[tuple[Mix, float]]) -> list[tuple[str, str, int, float]]:
    """For each policy (family, name, rows with it, its main effect): the mean difference, in
    points, to the mixes that differ from its own in this family alone."""
    lines = []
    for family in FAMILIES:
        for name in sorted({mix[family] for mix, _ in scores}):
            gaps = [
                score - other
                for mix, score in scores
                if mix[family] == name
                for twin, other in scores
                if twin[family] != name and all(twin[f] == mix[f] for f in FAMILIES if f != family)
            ]
            rows = sum(mix[family] == name for mix, _ in scores)
            if gaps:
                lines.append((family, name, rows, sum(gaps) / len(gaps)))
    return lines


def interactions(scores: Sequence[tuple[Mix, float]]) -> list[tuple[str, str, float, int]]:
    """For two changes of policy in two families (a → b, c → d): what both bring beyond the sum of
    each alone, (bd − ad) − (bc − ac) in points, averaged over the third family; and how many."""
    table = {tuple(mix[f] for f in FAMILIES): score for mix, score in scores}
    names = {family: sorted({mix[family] for mix, _ in scores}) for family in FAMILIES}
    sums: dict[tuple[str, str], list[float]] = {}
    for one, two in combinations(FAMILIES, 2):
        for (a, b), (c, d) in product(combinations(names[one], 2), combinations(names[two], 2)):
            for mix, ac in scores:
                changes = ({two: d}, {one: b}, {one: b, two: d})
                cells = [tuple((mix | new)[family] for family in FAMILIES) for new in changes]
                ad, bc, bd = map(table.get, cells)
                square = (mix[one], mix[two]) == (a, c)
                if square and ad is not None and bc is not None and bd is not None:
                    sums.setdefault((f"{a} → {b}", f"{c} → {d}"), []).append(bd - ad - bc + ac)
    return [(x, y, sum(lines) / len(lines), len(lines)) for (x, y), lines in sums.items()]


def show_effects(entries: Sequence[StoredRecord]) -> None:
    """Main effects and interactions, by the mean over seeds of each mix."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for entry in entries:
        summary, chosen = entry.record.summary, entry.record.method
        if summary is not None:
            names = tuple(policy.name for policy in chosen.policies.values())
            groups.setdefault(names, []).append(summary.mean_pareto_accuracy)
    scores = [
        (dict(zip(FAMILIES, names, strict=True)), sum(values) / len(values))
        for names, values in groups.items()
    ]
    console.say("main effects, points against the mixes that differ in this policy alone:")
    for family, name, rows, gap in effects(scores):
        console.say(f"  {family} {name}: {gap:+.2f} ({rows} rows)")
    console.say("interactions, points beyond the sum of both changes:")
    for one, other, gap, cells in interactions(scores):
        console.say(f"  {one} with {other}: {gap:+.2f} ({cells} squares)")
