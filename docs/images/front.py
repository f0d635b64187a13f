"""Draw the front that a search found: `python docs/images/front.py SEARCH.json > front.svg`.

The record of `ofa-bench search RUN --front` holds all that is drawn: every subnet that was scored,
and for each budget the best one found, the one of most MACs, and the best of as many random ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ofa_bench.api import load_space

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 56, 16, 34, 44
COLOURS = {"found": "#0b6e4f", "random": "#c8553d", "macs": "#4062bb", "scored": "#c9c9c9"}
Point = tuple[float, float]


def main() -> None:
    record = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("\n".join(drawing(record)))


def drawing(record: dict[str, Any]) -> Iterable[str]:
    """The lines of the SVG."""
    space, images = load_space(record["space"]), record["images"]["select"]
    scored = [
        (space.macs(space.subnet(net["subnet"]), record["classes"]), 100 * net["select"] / images)
        for net in record["scored"]
    ]
    front = record["front"]
    series = {
        "found": [(net["macs"], net["top1_select"]) for net in front],
        "random": [(net["budget"], net["random"]) for net in front if net["random"] is not None],
        "macs": [(net["budget"], net["macs_alone"]) for net in front],
    }
    labels = {
        "found": f"{record['searcher']['name']}: the best found inside a budget",
        "random": "the best of as many random subnets",
        "macs": "the subnet of most MACs",
        "scored": f"{len(scored)} subnets scored of {record['nets']:,}",
    }
    values = [point for points in series.values() for point in points]
    x, y = (
        Scale([p[0] for p in values], LEFT, WIDTH - RIGHT),
        Scale([p[1] for p in values], HEIGHT - BOTTOM, TOP),
    )
    font = 'font-family="sans-serif" font-size="12"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {font}>'
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    yield from axes(x, y)
    inside = [p for p in scored if y.low <= p[1] <= y.high and x.low <= p[0] <= x.high]
    yield from (dot(x(a), y(b), COLOURS["scored"], 2) for a, b in inside)
    for name in ("macs", "random", "found"):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in series[name])
        yield f'<polyline points="{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>'
        yield from (dot(x(a), y(b), COLOURS[name], 4) for a, b in series[name])
    named = [name for name in ("found", "random", "macs") if series[name]]
    for row, name in enumerate((*named, "scored")):
        high = HEIGHT - BOTTOM - 76 + 18 * row
        yield dot(WIDTH - 330, high - 4, COLOURS[name], 4)
        yield f'<text x="{WIDTH - 318}" y="{high}">{labels[name]}</text>'
    yield f'<text x="{LEFT}" y="20" font-weight="bold">{record["run"]}</text>'
    yield "</svg>"


class Scale:
    """Values to pixels, with a margin at both ends."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        spread = (max(values) - min(values)) or 1.0
        self.low, self.high = min(values) - 0.04 * spread, max(values) + 0.04 * spread
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """About five round values."""
        span = (self.high - self.low) / 5
        power = 10 ** (len(str(int(span))) - 1) if span >= 1 else 0.1
        step = min((power * m for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - span))
        first = int(self.low // step) + 1
        return [n * step for n in range(first, int(self.high // step) + 1)]


def axes(x: Scale, y: Scale) -> Iterable[str]:
    bottom = HEIGHT - BOTTOM
    for value in x.ticks():
        at = f'x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle"'
        yield f"<text {at}>{value / 1e6:.3g} M</text>"
        yield f'<path d="M{x(value):.1f} {TOP}V{bottom}" stroke="#eeeeee"/>'
    for value in y.ticks():
        yield f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        yield f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#eeeeee"/>'
    yield f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">MACs</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="20" text-anchor="end">top-1 on select, %</text>'


def dot(x: float, y: float, colour: str, radius: int) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


if __name__ == "__main__":
    main()
