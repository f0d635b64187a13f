"""What papers claim, judged on records: confirmed, not confirmed, or undecided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import TypeAdapter

from ofa_bench.errors import UnknownName
from ofa_bench.leaderboard.board import board
from ofa_bench.leaderboard.rows import rows
from ofa_bench.leaderboard.screening import held
from ofa_bench.leaderboard.stats import FINEST, Pair, compare, family
from ofa_bench.records import extra_metrics
from ofa_bench.records.store import Store, StoredRecord
from ofa_bench.records.track import tracks
from ofa_bench.records.validation.validate import Context
from ofa_bench.spec_files import load_toml, specs_root

ACCURACY = "summary.mean_pareto_accuracy"
COST = "cost."


@dataclass(frozen=True)
class Claim:
    """`row` is said to beat `against` in `measure`; both are record filters."""

    source: str
    says: str
    published: str
    comparison: str
    measure: str
    row: tuple[str, ...]
    against: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """A name, a folder below the results root, and filters that all its records answer to."""

    name: str
    results: str
    where: tuple[str, ...]


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim in a setting: seeds of both rows, the figures of each, and what follows."""

    claim: Claim
    setting: str
    n: tuple[int, int]
    means: tuple[float, float]
    pair: Pair | None
    verdict: str


def findings(results: Path, paper: str, context: Context | None = None) -> list[ClaimVerdict]:
    """Every claim of a paper in every setting whose records are there and hold; UnknownName."""
    folder = specs_root() / "claims"
    if paper not in (known := [path.stem for path in folder.glob("*.toml")]):
        raise UnknownName("paper", paper, known)
    document = load_toml(folder / f"{paper}.toml")
    claims = TypeAdapter(list[Claim]).validate_python(document["claims"])
    settings = TypeAdapter(list[Setting]).validate_python(
        load_toml(specs_root() / "claim-settings.toml")["settings"]
    )
    verdicts = []
    for claim, setting in product(claims, settings):
        store = Store(results / setting.results)
        ours, theirs = (
            _counted(held(store, (*setting.where, *some), context).entries)
            for some in (claim.row, claim.against)
        )
        if ours and theirs:
            verdicts.append(_judged(claim, setting.name, ours, theirs))
    return verdicts


def _counted(entries: Sequence[StoredRecord]) -> list[StoredRecord]:
    """The good seeds, each once, as a board counts them."""
    return [entry for row in rows(entries) for entry in row.good]


def _judged(
    claim: Claim, setting: str, ours: list[StoredRecord], theirs: list[StoredRecord]
) -> ClaimVerdict:
    values = [_values(entries, claim.measure) for entries in (ours, theirs)]
    counts, means = (len(ours), len(theirs)), (fmean(values[0]), fmean(values[1]))
    if claim.measure.startswith(COST):
        verdict = "confirmed" if means[0] < means[1] else "contradicted"
        return ClaimVerdict(claim, setting, counts, means, None, verdict)
    pairs = _on_one_board(ours, theirs) if claim.measure == ACCURACY else None
    if pairs is None:
        # A reading is a share of the gradient, better when smaller.
        sign = 1 if claim.measure.startswith("summary.") else -1
        a, b = ([sign * value for value in group] for group in values)
        finest = FINEST if sign > 0 else 0.0
        pairs = (
            compare(a, b, family([a, b]), resolution=finest),
            compare(b, a, family([a, b]), resolution=finest),
        )
    return ClaimVerdict(claim, setting, counts, means, pairs[0], _verdict(*pairs))


def _on_one_board(ours: list[StoredRecord], theirs: list[StoredRecord]) -> tuple[Pair, Pair] | None:
    """The two rows as a board of their own judges them; None where they are of two tracks."""
    by_track = tracks([*ours, *theirs])
    rows = {entries[0].record.row_id for entries in (ours, theirs)}
    if len(by_track) != 1 or len(rows) != 2:
        return None
    ((track, entries),) = by_track.items()
    pairs = board(track, entries).pairs
    a, b = ours[0].record.row_id, theirs[0].record.row_id
    return pairs[a, b], pairs[b, a]


def _verdict(pair: Pair, back: Pair) -> str:
    if pair.verdict == "better":
        return "confirmed"
    if back.verdict == "better":
        return "contradicted"
    return "not confirmed" if back.verdict == "no worse" else "cannot be told"


def _values(entries: Sequence[StoredRecord], measure: str) -> list[float]:
    if measure.partition(".")[0] in ("summary", "cost"):
        records: list[Any] = [entry.record for entry in entries]
        return [float(reduce(getattr, measure.split("."), record)) for record in records]
    measured = [extra_metrics.read(entry.path).get(measure) for entry in entries]
    return [value for value in measured if value is not None]


def to_markdown(verdicts: Sequence[ClaimVerdict]) -> str:
    """A table a claim, a line a setting."""
    lines: list[str] = []
    for claim in dict.fromkeys(verdict.claim for verdict in verdicts):
        lines += [
            f"### {claim.says[0].upper()}{claim.says[1:]}",
            "",
            f"{claim.source}; published: {claim.published}. "
            f"`ofa-bench compare {claim.comparison}`, `{claim.measure}`.",
            "",
            "| where | n | measured | difference, 95 % | here |",
            "|---|---|---|---|---|",
            *(_line(verdict) for verdict in verdicts if verdict.claim == claim),
            "",
        ]
    return "\n".join(lines)


def _line(verdict: ClaimVerdict) -> str:
    a, b = verdict.means
    n = " and ".join(str(count) for count in dict.fromkeys(verdict.n))
    if verdict.pair is None:
        means = f"{a / 1e9:.4g} against {b / 1e9:.4g} G MACs | {b / a:.2f} times less"
        return f"| {verdict.setting} | {n} | {means} | {verdict.verdict} |"
    low, high = verdict.pair.low, verdict.pair.high
    sign = 1 if verdict.claim.measure.startswith("summary.") else -1
    gap = f"{sign * verdict.pair.difference:+.3g}"
    if low is not None and high is not None:
        ends = sorted((sign * low, sign * high))
        gap += f" ({ends[0]:+.3g} to {ends[1]:+.3g})"
    return f"| {verdict.setting} | {n} | {a:.4g} against {b:.4g} | {gap} | {verdict.verdict} |"
