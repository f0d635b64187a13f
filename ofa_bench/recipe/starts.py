"""The weights that a run starts from, as options name them: FILE, RUN, or FILE::SET. Torch-free."""

from __future__ import annotations

from pathlib import Path

SEPARATOR = "::"


def split_set(name: str | Path) -> tuple[Path, str]:
    """The path, and the set of weights in it that is named; a file of the whole name goes first."""
    where, sign, key = str(name).rpartition(SEPARATOR)
    if not sign or not where or Path(name).exists():
        return Path(name), ""
    return Path(where), key
