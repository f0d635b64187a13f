"""The committed boards: written from records, and checked to be what the records say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UnknownName, UsageError
from ofa_bench.leaderboard.board import Board, boards
from ofa_bench.leaderboard.kept_boards import ShownBoard, kept_boards, shown
from ofa_bench.leaderboard.screening import SHARED
from ofa_bench.records.json_text import spell
from ofa_bench.records.store import Store, read_bytes
from ofa_bench.records.validation.validate import Context
from ofa_bench.sanitize import plain_text

B = TypeVar("B", Board, ShownBoard)


def write_boards(
    results: Path, context: Context | None = None, made: Iterable[ShownBoard] | None = None
) -> list[Path]:
    """Write `boards/<track>.{json,md}` for every track; files of no track are removed. `made`: the
    boards of all records, where they are made already."""
    if made is None:
        made, _ = kept_boards(results, context or SHARED)
    wanted = _files(results, made)
    for path, text in wanted.items():
        if not path.is_file() or path.read_bytes() != text.encode():
            write_whole(path, text, root=results)
    for path in _present(results) - set(wanted):
        path.unlink()
    return sorted(wanted)


def check_boards(results: Path, context: Context | None = None) -> list[str]:
    """What differs between the boards and the records, a sentence each; empty if nothing."""
    try:
        wanted = _files(results, map(shown, boards(Store(results), context=context)))
    except UsageError as error:
        return [error.message]
    lines = [f"{path}: no record belongs to it" for path in _present(results) - set(wanted)]
    for path, text in wanted.items():
        lines += _difference(path, text)
    return sorted(lines)


def choose(boards: Iterable[B], name: str | None) -> list[B]:
    """The boards of a data set, or the one of a track (the beginning of its name or id)."""
    every = list(boards)
    if name is None:
        return every
    chosen = [board for board in every if board.track.dataset == name]
    chosen = chosen or [
        board
        for board in every
        if board.track.name.startswith(name) or board.track.id.startswith(name)
    ]
    if not chosen:
        known = {board.track.dataset for board in every} | {board.track.name for board in every}
        raise UnknownName("data set or track", name, known)
    return chosen


def _files(results: Path, made: Iterable[ShownBoard]) -> dict[Path, str]:
    folder, texts = results / "boards", {}
    for board in made:
        texts[folder / f"{board.track.name}.json"] = spell(board.document)
        texts[folder / f"{board.track.name}.md"] = board.markdown
    return texts


def _present(results: Path) -> set[Path]:
    folder = results / "boards"
    return {path for kind in ("*.json", "*.md") for path in folder.glob(kind)}


def _difference(path: Path, text: str) -> list[str]:
    if not path.is_file():
        return [f"{path}: is not there; `ofa-bench board` writes it"]
    try:
        held = read_bytes(path, "board-bytes")
    except UsageError as error:
        return [error.message]
    if held == text.encode():
        return []
    ours = text.encode().split(b"\n")
    theirs = held.split(b"\n")
    pairs = enumerate(zip(ours, theirs, strict=False), 1)
    at = next((n for n, (a, b) in pairs if a != b), min(len(ours), len(theirs)) + 1)
    line = theirs[at - 1].decode(errors="replace") if at <= len(theirs) else "nothing"
    return [f"{path}: line {at} is not what the records say: {plain_text(line, 80)}"]
