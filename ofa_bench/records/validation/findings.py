"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bench.sanitize import plain_text


@dataclass(frozen=True)
class Finding:
    """A field (dotted path; `file` is the file as a whole) and what is wrong with it.

    `unknown`: it could not be checked here, as for a space whose plugin is not installed.
    """

    field: str
    message: str
    unknown: bool = False

    def __str__(self) -> str:
        return f"{plain_text(self.field)}: {plain_text(self.message, 400)}"


def far(a: float, b: float, tolerance: float = 1e-9) -> bool:
    """Whether two numbers differ by more than rounding does."""
    return abs(a - b) > tolerance * max(1.0, abs(a), abs(b))
