"""Everything that is printed: tables and answers on stdout, all else on stderr.

Texts come from records, files and plugins of strangers, so nothing is read as markup and no
terminal code passes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from ofa_bench.sanitize import plain_text, storable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

LONGEST = 10_000  # characters of one text
FOLDED = 16  # the least width a column of words is folded to


@dataclass
class Voice:
    """Whether the command answers in JSON, and where that one document goes."""

    as_json: bool = False
    heard: bool = True
    document: IO[str] | None = None
    answered: bool = False
    stderr: IO[str] | None = None


_voice = Voice()


@contextmanager
def speaking(as_json: bool, heard: bool = True) -> Iterator[None]:
    """A command's stdout and stderr. In JSON, a stray `print` of a plugin lands on stderr; a rank
    that is not to be heard prints nothing."""
    global _voice
    before, _voice = _voice, Voice(as_json, heard, stderr=sys.stderr)
    try:
        if not heard:
            with (
                open(os.devnull, "w") as silence,
                redirect_stdout(silence),
                redirect_stderr(silence),
            ):
                _voice.document = silence
                yield
            return
        stream: Any
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a question mark for what its encoding lacks
        _voice.document = sys.stdout
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            yield
    finally:
        _voice = before


def answer(document: Any) -> None:
    """The one JSON document of a command."""
    stream = _voice.document or sys.stdout
    stream.write(json.dumps(storable(document), indent=1, allow_nan=False) + "\n")
    stream.flush()
    _voice.answered = True


def result(as_json: bool, document: Any, *lines: str) -> None:
    """What a command has done: as JSON the document, else the lines."""
    if as_json:
        answer(document)
    else:
        for line in lines:
            say(line)


def refuse(message: str, hint: str, code: int) -> int:
    """Where a JSON answer is awaited, the error as that answer; returns the exit code."""
    if _voice.as_json and not _voice.answered:
        answer({"error": message, "hint": hint, "exit": code})
    return code


def heard() -> bool:
    """Whether this process is the one that speaks, and keeps the boards."""
    return _voice.heard


@contextmanager
def heard_after_all() -> Iterator[None]:
    """A stretch in which a silent rank speaks on stderr: it alone knows what went wrong."""
    with redirect_stderr(_voice.stderr or sys.stderr):
        yield


def raw(text: str) -> None:
    """A text on stdout that was made safe already."""
    sys.stdout.write(text)
    sys.stdout.flush()


def say(text: str = "") -> None:
    """A line on stdout."""
    _line(sys.stdout, text)


def tell(text: str) -> None:
    """Lines on stderr."""
    for line in text.split("\n"):
        _line(sys.stderr, line)


def _line(stream: IO[str], text: str) -> None:
    indent = len(text) - len(text.lstrip(" "))
    stream.write(" " * indent + plain_text(text, LONGEST) + "\n")
    stream.flush()


def complain(message: str, hint: str = "") -> None:
    """What is wrong, and what would mend it."""
    from rich.text import Text

    console = console_on(sys.stderr)
    console.print(Text("error: ", "bold red") + Text(plain_text(message, LONGEST)), soft_wrap=True)
    if hint:
        console.print(Text("  fix: ", "bold") + Text(plain_text(hint, LONGEST)), soft_wrap=True)


def page(text: str) -> None:
    """A Markdown page: rendered on a terminal, as it is elsewhere."""
    lines = [line if not line.strip() else _kept(line) for line in text.splitlines()]
    if not sys.stdout.isatty():
        raw("\n".join(lines) + "\n")
        return
    from rich.markdown import Markdown

    console_on(sys.stdout).print(Markdown("\n".join(lines)))


def _kept(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + plain_text(line, LONGEST)


def console_on(stream: IO[str]) -> Console:
    """A rich console that takes texts as they are; colours only where they are wanted."""
    from rich.console import Console

    return Console(file=stream, markup=False, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table on stdout. A column whose title begins with ">" is set to the right.

    On a terminal too narrow for it, each row becomes a block of lines.
    """
    cells = [["" if cell is None else plain_text(cell, LONGEST) for cell in row] for row in rows]
    titles = [column.lstrip(">") for column in columns]
    widths = [max(map(len, parts)) for parts in zip(titles, *cells, strict=True)]
    if sys.stdout.isatty():
        console = console_on(sys.stdout)
        # Numbers must fit whole, texts folded.
        least = [
            width if column.startswith(">") else min(width, FOLDED)
            for column, width in zip(columns, widths, strict=True)
        ]
        if sum(least) + 2 * len(least) <= console.width:
            console.print(_rich_table(columns, cells, title))
            return
    if title:
        say(title)
    if sys.stdout.isatty():
        for number, row in enumerate(cells):
            if number:
                say()
            facts(list(zip(titles, row, strict=True)))
        return
    for row in (titles, ["-" * width for width in widths], *cells):
        parts = [
            cell.rjust(width) if column.startswith(">") else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ]
        raw("  ".join(parts).rstrip() + "\n")


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        box=SIMPLE_HEAD,
        title=Text(plain_text(title, LONGEST), "bold") if title else None,
        title_justify="left",
        pad_edge=False,
    )
    for column in columns:
        number = column.startswith(">")
        drawn.add_column(
            Text(column.lstrip(">")),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
        )
    for row in cells:
        drawn.add_row(*map(Text, row))
    return drawn


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, a line each, on stdout."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        say(f"{name.ljust(width)}  {value}")


@contextmanager
def live(render: Callable[[], tuple[float, str]]) -> Iterator[Callable[[str], None]]:
    """A bar on stderr, drawn anew four times a second from (share done, text) in a thread of its
    own; yields a function that prints a line above it."""
    from rich.live import Live
    from rich.text import Text

    def drawn() -> RenderableType:
        return _bar(*render())

    console = console_on(sys.stderr)
    with Live(get_renderable=drawn, console=console, refresh_per_second=4, transient=True):
        yield lambda text: console.print(Text(plain_text(text, LONGEST)), soft_wrap=True)


def _bar(share: float, text: str) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1)
    row.add_column(justify="right", width=5)
    row.add_row(ProgressBar(total=1.0, completed=share), Text(f"{share:4.0%}"))
    return Group(row, Text(plain_text(text, LONGEST), overflow="fold"))


def confirm(question: str) -> bool:
    """Ask on stderr; yes where nobody can be asked."""
    import click

    if not sys.stdin.isatty():
        return True
    return click.confirm(question, default=True, err=True)
