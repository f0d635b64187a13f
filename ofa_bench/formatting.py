"""Numbers as people read them."""

from __future__ import annotations

DASH = "–"
UNITS = ("", " k", " M", " G", " T", " P", " E")


def count(value: float | None) -> str:
    """A count to three digits: 3,931,208 as "3.93 M"."""
    if value is None:
        return DASH
    rank = 0
    while abs(value) >= 999.5 and rank < len(UNITS) - 1:
        value, rank = value / 1000, rank + 1
    if rank == 0:
        return f"{value:.0f}"
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{UNITS[rank]}"


def percent(value: float | None) -> str:
    """A percentage, without its sign."""
    return DASH if value is None else f"{value:.2f}"


def interval(low: float | None, high: float | None) -> str:
    """A confidence interval; a dash where there is none."""
    return DASH if low is None or high is None else f"{low:.2f} to {high:.2f}"


def duration(seconds: float | None) -> str:
    """Seconds as "41 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None:
        return DASH
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def money(value: float | None) -> str:
    """Dollars."""
    return DASH if value is None else f"{value:,.2f}"


def rate(value: float | None) -> str:
    """A learning rate or a share of one, to four digits."""
    return DASH if value is None else f"{value:.4g}" if value < 0.01 else f"{value:.5g}"
