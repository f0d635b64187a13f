"""Which tracks of a results folder differ in the size of their budget alone, and their curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ofa_bench.errors import BenchError
from ofa_bench.leaderboard.by_cost.cost_curves import crossing_lines, families, family_key
from ofa_bench.leaderboard.known_records import KnownFile
from ofa_bench.records.track import track_of
from ofa_bench.records.validation.validate import UNUSABLE
from ofa_bench.report.charts import Chart
from ofa_bench.report.cost_curves import cost_chart
from ofa_bench.report.site.pages import DIGITS
from ofa_bench.report.site.track_records import read_entries
from ofa_bench.report.tables import embedded
from ofa_bench.sanitize import plain_text
from ofa_bench.seeding import digest


class CurvePage(NamedTuple):
    """A page of curves, to be written once its tracks are; `tracks` by name."""

    path: str
    name: str
    chart: Chart
    crossings: list[str]
    tracks: list[str]


def curve_pages(
    tracks: Mapping[str, Sequence[KnownFile]],
    free: Callable[[str, str], str],
    left_out: list[str],
) -> list[CurvePage]:
    """The pages of tracks by name; `free` makes a path of a room and a name. A family that cannot
    be shown is a line of `left_out`."""
    groups: dict[bytes, list[str]] = {}
    for name, files in tracks.items():
        for entry in read_entries(files[:1], []):
            groups.setdefault(family_key(track_of(entry.record)), []).append(name)
    pages = []
    for key, names in groups.items():
        if len(names) < 2:
            continue
        entries = [entry for name in names for entry in read_entries(tracks[name], [])]
        try:
            for group in families(entries):
                if group.curves:
                    chart, lines = cost_chart(group, "curves"), crossing_lines(group)
                    embedded(chart.figure)
                    path = free("curves", digest(key.decode())[:DIGITS])
                    pages.append(CurvePage(path, group.name, chart, lines, names))
        except (BenchError, *UNUSABLE) as error:
            line = f"accuracy against cost of {names[0]}: cannot be shown: {error!r}"
            left_out.append(plain_text(line, 400))
    return pages
