"""Pages of a site, written one after another; files are named by hashes and known names."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from ofa_bench import __version__
from ofa_bench.records.json_text import spell
from ofa_bench.records.schema import Record, plain
from ofa_bench.records.store import slug
from ofa_bench.report.tables import HtmlTable, table, word
from ofa_bench.report.templating import environment, rendered_card, source
from ofa_bench.seeding import digest

DIGITS = 32  # of a hash in a file's name
XZ = {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 22}  # 48 MB of memory
STYLES = ("style.css", "site/site.css")


class PageWriter:
    """Writes files below a folder, and counts them."""

    def __init__(self, folder: Path, site: str) -> None:
        self.folder, self.site = folder, site
        self.pages = self.bytes = 0
        self.files: list[str] = []
        self._templates = environment()

    def page(self, path: str, template: str, heading: str, **values: Any) -> None:
        """Write a page; `path` is relative to the site, and links in values are too."""
        text = self._templates.get_template(f"site/{template}").render(
            site=self.site,
            heading=heading,
            here=path,
            root="../" * path.count("/"),
            version=__version__,
            **values,
        )
        self.file(path, text.encode())
        self.pages += 1

    def file(self, path: str, data: bytes) -> None:
        """Write a file of the site."""
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        self.files.append(path)
        self.bytes += len(data)

    def assets(self) -> None:
        """Write the scripts and the style that all pages share."""
        for name in ("charts.js", "page.js"):
            self.file(f"assets/{name}", source(self._templates, name).encode())
        style = "".join(source(self._templates, name) for name in STYLES)
        self.file("assets/style.css", style.encode())


def record_path(record: Record) -> str:
    """The page of a record, by its own hash."""
    return f"records/{record.sha256[:DIGITS]}.html"


def member_names(records: Sequence[Record]) -> dict[str, str]:
    """What an archive calls its records, by their hashes: by run ids, which hold no separators; by
    its hash where a run of that id is in it already."""
    names: dict[str, str] = {}
    for record in records:
        sha256 = record.sha256
        others = (f"{sha256}-{number}" for number in count(2))
        used = set(names.values())
        choices = (f"{name}.json" for name in chain((record.run.id, sha256), others))
        names[sha256] = next(name for name in choices if name not in used)
    return names


def packed(records: Sequence[Record], names: Mapping[str, str]) -> bytes:
    """A tar.xz of records as JSON, as their files spell them, under these names: runs of one track
    have most of their text in common."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for record in records:
            text = spell(plain(record)).encode()
            member = tarfile.TarInfo(names[record.sha256])  # no time, no owner: the same bytes
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return lzma.compress(buffer.getvalue(), filters=[XZ])


class MethodPages:
    """The cards of the methods that boards name, and a table of them."""

    def __init__(self, card: Callable[[str], str | None]) -> None:
        self._card = card
        self._paths: dict[str, str] = {}
        self._cards: dict[str, str] = {}
        self._compositions: dict[str, set[str]] = {}

    def path(self, method: str) -> str:
        """The page of a method's card; "" where it has none."""
        if method not in self._paths:
            card = self._card(method)
            name = method if slug(method) == method else digest(method)[:DIGITS]
            self._paths[method] = "" if card is None else f"methods/{name}.html"
            if card is not None:
                self._cards[method] = card
        return self._paths[method]

    def seen(self, record: Record) -> None:
        """Count a record's method and its composition in."""
        self.path(record.method.name)
        self._compositions.setdefault(record.method.name, set()).add(record.method.composition)

    def write(self, writer: PageWriter) -> None:
        """Write the cards, and the page that lists them."""
        for method, card in sorted(self._cards.items()):
            text = rendered_card(card, steps=1)
            writer.page(self._paths[method], "card.html", method, text=text)
        listed = self._table() if self._compositions else None
        writer.page("methods.html", "methods.html", "Methods", table=listed)

    def _table(self) -> HtmlTable:
        lines = []
        for method, compositions in sorted(self._compositions.items()):
            path = self._paths[method]
            card = word("read the card" if path else "has none here")
            linked = type(card)(card.text, link=path)
            lines.append([word(method, "name"), word("; ".join(sorted(compositions))), linked])
        heads = ("method", "made of: which nets + learning rate + distillation", "card")
        return table("A line a method", heads, lines, sortable=True, filtered=True)
