"""Parse the options that name initial weights: FILE, RUN, or FILE::SET. Torch-free."""

from __future__ import annotations

from pathlib import Path

SEPARATOR = "::"


def split_set(name: str | Path) -> tuple[Path, str]:
    """Split FILE::SET into path and set; an existing file of the whole name takes precedence."""
    where, sign, key = str(name).rpartition(SEPARATOR)
    if not sign or not where or Path(name).exists():
        return Path(name), ""
    return Path(where), key
