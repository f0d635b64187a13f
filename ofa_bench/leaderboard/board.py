"""A leaderboard: one track's rows, every pair's verdict, and the ranks that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ofa_bench.errors import BenchError
from ofa_bench.formatting import DASH, TOO_WIDE
from ofa_bench.leaderboard.cost_axis import MACS, CostAxis
from ofa_bench.leaderboard.rows import BoardRow, rows
from ofa_bench.leaderboard.screening import Screened, Unranked, held, unranked_entry
from ofa_bench.leaderboard.stats import DELTA, FINEST, Estimate, Pair, compare, estimate, family
from ofa_bench.records.per_image import standard_error
from ofa_bench.records.store import Store, StoredRecord
from ofa_bench.records.track import Track, tracks
from ofa_bench.records.validation.validate import UNUSABLE, Context
from ofa_bench.sanitize import LONGEST_LINE, command_line, command_words, plain_text

ENOUGH = 3  # seeds; with fewer, a board is provisional


@dataclass(frozen=True)
class Standing:
    """A row and where it stands. `accuracy` is over the range that all rows cover; `greyed_by`
    names rows that are no worse and cheaper; `front`: none is both more accurate and cheaper."""

    row: BoardRow
    accuracy: Estimate | None
    with_failures: float | None
    rank: int | None
    provisional: bool
    greyed_by: tuple[str, ...]
    front: bool

    @property
    def rank_text(self) -> str:
        """The rank as tables show it: a dash where too few seeds decide it."""
        return DASH if self.rank is None or self.provisional else str(self.rank)


@dataclass(frozen=True)
class Board:
    """`range`: the budgets that all rows cover, in steps of the axis (MACs); `pairs` by the two
    rows' ids; `unranked`: records of the track that do not hold, which no row counts."""

    track: Track
    range: tuple[int, int]
    delta: float
    places: tuple[Standing, ...]
    pairs: Mapping[tuple[str, str], Pair]
    more: tuple[str, ...]
    unranked: tuple[Unranked, ...] = ()
    axis: CostAxis = MACS

    @property
    def provisional(self) -> bool:
        """Whether some row has fewer than three seeds."""
        return any(standing.provisional for standing in self.places)

    def order_caveats(self, spell: Callable[[str], str] = str) -> list[str]:
        """One line for each number of seeds that is too small for a rank, and its rows' labels."""
        rows = [standing for standing in self.places if standing.accuracy is not None]
        few: dict[int, list[str]] = {}
        for standing in rows:
            if standing.provisional:
                few.setdefault(len(standing.row.good), []).append(standing.row.label)
        lines = []
        for n, labels in sorted(few.items()):
            whom = f" ({', '.join(map(spell, labels))})" if len(labels) < len(rows) else ""
            lines.append(f"n = {n}: order not told{whom}")
        return lines

    @property
    def detectable(self) -> float | None:
        """The largest of the pairs' detectable differences, in points."""
        values = [pair.detectable for pair in self.pairs.values() if pair.detectable is not None]
        return max(values, default=None)

    @property
    def detectable_text(self) -> str:
        """What size of difference these seeds can show."""
        if self.detectable is None:
            return "no two rows have two seeds each: no difference can be shown"
        if self.detectable >= TOO_WIDE:
            return "the seeds are too few, or vary too much, to show any difference"
        return f"differences under {self.detectable:.2f} points can go unseen"


def board(
    track: Track,
    entries: Iterable[StoredRecord],
    delta: float = DELTA,
    unranked: Iterable[Unranked] = (),
    axis: CostAxis = MACS,
) -> Board:
    """The board of one track's records; what is known to be unranked is listed with it."""
    every = rows(entries, axis)
    able = [row for row in every if row.good]
    low, high = _range(able or every)
    values = {row.id: row.values(low, high) for row in able}
    pairs = _pairs(able, high, values, delta)
    cost = {row.id: row.mean("cost", "train_macs") or 0.0 for row in able}
    places = [_standing(row, values, pairs, cost, every) for row in every]
    places.sort(key=_order)
    more = [again(row.any.run.command, row.n, more_seeds(row.n)) for row in every]
    lines = tuple(dict.fromkeys(line for line in more if line))
    mine = tuple(entry for entry in unranked if entry.belongs(track))
    return Board(track, (low, high), delta, tuple(places), pairs, lines, mine, axis)


def boards(store: Store, delta: float = DELTA, context: Context | None = None) -> list[Board]:
    """The boards of all records that hold, by name; the others are listed with their track's."""
    return boards_of(held(store, context=context), delta)


def boards_of(screened: Screened, delta: float = DELTA, axis: CostAxis = MACS) -> list[Board]:
    """The boards of screened records, by name; those whose space the axis does not fit are absent.

    A record that breaks its board together with others, though it holds alone, is listed.
    """
    made = []
    for track, entries in tracks(screened.entries).items():
        if any(axis.misfit(entry.record) is not None for entry in entries):
            continue
        try:
            made.append(written(track, entries, delta, screened.unranked, axis))
        except (BenchError, *UNUSABLE):
            kept, broken = separated(entries, lambda kept: written(track, kept, delta, (), axis))  # noqa: B023
            if kept:
                made.append(written(track, kept, delta, (*screened.unranked, *broken), axis))
    return made


def written(
    track: Track,
    entries: Sequence[StoredRecord],
    delta: float = DELTA,
    unranked: Iterable[Unranked] = (),
    axis: CostAxis = MACS,
) -> Board:
    """A board that was written once, so that it can be."""
    from ofa_bench.leaderboard.export import to_json, to_markdown

    made = board(track, entries, delta, unranked, axis)
    to_json(made)
    to_markdown(made).encode()
    return made


def separated(
    entries: Iterable[StoredRecord], show: Callable[[list[StoredRecord]], object]
) -> tuple[list[StoredRecord], list[Unranked]]:
    """The entries that can be shown together, one added after the other, and those that cannot."""
    kept: list[StoredRecord] = []
    broken = []
    for entry in entries:
        try:
            show([*kept, entry])
            kept.append(entry)
        except (BenchError, *UNUSABLE) as error:
            broken.append(unranked_entry(entry, f"cannot be shown: {plain_text(repr(error))}"))
    return kept, broken


def _range(every: Sequence[BoardRow]) -> tuple[int, int]:
    low, high = every[0].axis.range(every[0].any)
    return max([low, *(row.low for row in every if row.good)]), high


def _pairs(
    able: Sequence[BoardRow], high: int, values: Mapping[str, Sequence[float]], delta: float
) -> dict[tuple[str, str], Pair]:
    shared = family(list(values.values()))
    pairs = {}
    for a in able:
        for b in able:
            if a.id == b.id:
                continue
            low = max(a.low, b.low)
            pairs[a.id, b.id] = compare(
                a.values(low, high),
                b.values(low, high),
                shared,
                paired=branches(a, b),
                resolution=resolution(a, b, low, high),
                delta=delta,
                able=not a.failed,
            )
    return pairs


def branches(a: BoardRow, b: BoardRow) -> bool:
    """Whether each seed of both rows branched from one common beginning: the rule for pairing."""
    begun = [[entry.record.run.prefix for entry in row.good] for row in (a, b)]
    return a.seeds == b.seeds and begun[0] == begun[1] and None not in begun[0]


def resolution(a: BoardRow, b: BoardRow, low: int, high: int) -> float:
    """The least difference worth a claim: 0.1 points, or the test set's standard error of it."""
    ours, theirs = a.images(low, high), b.images(low, high)
    if ours is None or theirs is None or len(ours[0]) != len(theirs[0]):
        return FINEST
    return max(FINEST, standard_error(ours, theirs))


def _standing(
    row: BoardRow,
    values: Mapping[str, Sequence[float]],
    pairs: Mapping[tuple[str, str], Pair],
    cost: Mapping[str, float],
    every: Sequence[BoardRow],
) -> Standing:
    if not row.good:
        return Standing(row, None, row.with_failures(()), None, True, (), False)
    others = [other for other in every if other.good and other.id != row.id]
    against = {other.id: pairs[other.id, row.id] for other in others}
    beaten = sum(pair.verdict == "better" for pair in against.values())
    cheaper = [other for other in others if cost[other.id] < cost[row.id]]
    grey = [o.label for o in cheaper if against[o.id].verdict in ("better", "no worse")]
    return Standing(
        row=row,
        accuracy=estimate(values[row.id]),
        with_failures=row.with_failures(values[row.id]),
        rank=1 + beaten,
        provisional=len(row.good) < ENOUGH,
        greyed_by=tuple(grey),
        front=not any(against[other.id].difference >= 0 for other in cheaper),
    )


def _order(standing: Standing) -> tuple[float, float, str]:
    mean = standing.accuracy.mean if standing.accuracy else -1.0
    return (standing.rank or float("inf"), -mean, standing.row.id)


def more_seeds(seeds: int) -> int:
    """How many seeds come next after so many."""
    return next((number for number in (3, 5, 10, 20) if number > seeds), 2 * seeds)


def again(command: str, seeds: int, wanted: int) -> str | None:
    """The line that adds seeds to those a command made, safe to paste into a shell.

    None where it was no command of ours, or where the line is longer than any view shows.
    """
    words = command_words(command)
    if words is None or words[:2] not in (["ofa-bench", "run"], ["ofa-bench", "compare"]):
        return None
    kept, skip = [], False
    for word in words:
        if not skip and not word.startswith(("--seed=", "--seeds=")):
            kept += [] if word in ("--seed", "--seeds") else [word]
        skip = not skip and word in ("--seed", "--seeds")
    many = ["--seeds", str(wanted)] if words[1] == "compare" else ["--seed", str(seeds)]
    line = command_line(*kept, *many)
    return line if len(line) <= LONGEST_LINE else None
