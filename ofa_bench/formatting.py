"""Numbers as people read them."""

from __future__ import annotations

DASH = "–"
UNITS = ("", " k", " M", " G", " T", " P", " E")
TOO_WIDE = 50.0  # points; an interval of an accuracy as wide as this is not worth its digits


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


def interval(low: float | None, high: float | None, n: int) -> str:
    """The 95 % interval of an accuracy from `n` seeds, in percent; a dash where there is none.

    Printed within 0 to 100, which the t interval of few seeds may leave.
    """
    if low is None or high is None:
        return DASH
    low, high = max(low, 0.0), min(high, 100.0)
    if high - low >= TOO_WIDE:
        return f"n = {n}: too wide to tell"
    return f"{low:.2f} to {high:.2f}"


def spread(low: float, high: float) -> str:
    """The interval of a difference of two accuracies, in points: printed within -100 to 100."""
    return f"{max(low, -100.0):+.2f} to {min(high, 100.0):+.2f}"


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
