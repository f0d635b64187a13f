"""Read untrusted tar archives in one pass and within limits. Torch-free.

Only regular files and folders are accepted, so that no name is resolved through a link. The
standard library parses single headers; iteration is done here, since tarfile trusts the sizes in
headers.
"""

from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from ofa_bench.data.discovery.inflate import ByteSource
from ofa_bench.errors import DataError
from ofa_bench.limits import advice, limit

BLOCK = tarfile.BLOCKSIZE
PIECE = 1 << 18
LONGEST_PART, LONGEST_NAME = 255, 4096  # bytes, as file systems have it
DAMAGE = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
REFUSED = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
LONG_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)


class TarMember(NamedTuple):
    """A file or folder of an archive: the parts of its name, and a file's bytes."""

    parts: tuple[str, ...]
    folder: bool
    size: int


class Tar:
    """An archive that is read once, sequentially."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._left = 0  # bytes of the last member that were not taken yet

    def members(self) -> Iterator[TarMember]:
        """The members in order, to the end of the file.

        Raises DataError if a member is refused; one of DAMAGE if the archive is damaged,
        truncated, or followed by other data.
        """
        count = 0
        while (member := self._next()) is not None:
            count += 1
            if count > limit("archive-members"):
                raise DataError(
                    f"{self._source.path} has more than {limit('archive-members'):,} members",
                    advice("archive-members"),
                )
            self._left = member.size
            yield member
            for _ in self.content():
                pass
            self._source.exactly(-member.size % BLOCK)
        while rest := self._source.some(PIECE):
            if any(rest):
                raise tarfile.ReadError("another archive, or something else, follows its end")

    def content(self) -> Iterator[memoryview]:
        """The remaining bytes of the current member."""
        while self._left:
            piece = self._source.some(min(self._left, PIECE))
            if not piece:
                raise EOFError("it ends within a member")
            self._left -= len(piece)
            yield piece

    def _next(self) -> TarMember | None:
        """The next file or folder, with its extended headers applied; None at the end mark."""
        fields: dict[str, str] = {}
        spent = 0
        while (header := self._header()) is not None:
            known = header.type in LONG_NAMES or header.type in (*PAX, tarfile.XGLTYPE)
            if not known:
                return self._member(header, fields)
            spent += BLOCK + header.size
            if header.size < 0 or spent > limit("archive-header"):
                raise DataError(
                    f"{self._source.path} has extended headers of {spent:,} bytes before a member",
                    advice("archive-header", spent),
                )
            content = self._source.exactly(header.size)
            self._source.exactly(-header.size % BLOCK)
            if header.type in LONG_NAMES:
                fields[LONG_NAMES[header.type]] = _text(content.partition(b"\0")[0])
            elif header.type in PAX:
                fields |= _pax_fields(content)
        if spent:
            raise EOFError("it ends after an extended header")
        return None

    def _header(self) -> tarfile.TarInfo | None:
        try:
            raw = self._source.exactly(BLOCK)
            if any(raw):
                return tarfile.TarInfo.frombuf(raw, "utf-8", "surrogateescape")
            second = self._source.exactly(BLOCK)
        except EOFError as error:
            raise EOFError("the two blocks that end an archive are missing") from error
        if any(second):
            raise tarfile.ReadError("a block of zeros stands between its members")
        return None

    def _member(self, header: tarfile.TarInfo, fields: dict[str, str]) -> TarMember:
        name = fields.get("path", header.name)
        kind = header.type
        if any(key.startswith("GNU.sparse.") for key in fields):
            kind = tarfile.GNUTYPE_SPARSE
        if kind not in (*FILES, tarfile.DIRTYPE):
            text = REFUSED.get(kind, "of a kind that is neither a file nor a folder")
            raise DataError(
                f"{self._source.path}: its member {_shown(name)} is {text}",
                "archives of images hold files and folders only: pack them anew, with "
                "`tar --dereference --hard-dereference` where links stand for files",
            )
        folder = kind == tarfile.DIRTYPE
        size = int(fields["size"]) if "size" in fields else header.size
        if size < 0:
            raise tarfile.ReadError("a member has a negative size")
        return TarMember(self._parts(name, folder), folder, 0 if folder else size)

    def _parts(self, name: str, folder: bool) -> tuple[str, ...]:
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        sizes = [len(os.fsencode(part)) for part in parts]
        wrong = ""
        if name.startswith("/"):
            wrong = "is absolute"
        elif ".." in parts:
            wrong = "leads upwards"
        elif "\0" in name or "\\" in name or any(os.path.splitdrive(part)[0] for part in parts):
            wrong = "is none that every system can have"
        elif max(sizes, default=0) > LONGEST_PART or sum(sizes) + len(sizes) > LONGEST_NAME:
            wrong = "is too long"
        elif not parts and not folder:
            wrong = "is empty"
        if wrong:
            raise DataError(
                f"{self._source.path}: the name {_shown(name)} of a member {wrong}",
                "pack the archive anew, from the folder that holds the images",
            )
        if len(parts) > limit("archive-depth"):
            raise DataError(
                f"{self._source.path}: {_shown(name)} lies {len(parts)} folders deep",
                advice("archive-depth", len(parts)),
            )
        return parts


def _pax_fields(content: bytes) -> dict[str, str]:
    """The `LENGTH KEY=VALUE` lines of an extended header."""
    fields, start, content = {}, 0, content.rstrip(b"\0")
    while start < len(content):
        space = content.find(b" ", start, start + 12)
        digits = content[start:space] if space > 0 else b""
        stop = start + int(digits) if digits.isdigit() else start
        key, equals, value = content[space + 1 : stop - 1].partition(b"=")
        if not (equals and space < stop <= len(content) and content[stop - 1 : stop] == b"\n"):
            raise tarfile.ReadError("an extended header makes no sense")
        fields[_text(key)] = _text(value)
        start = stop
    return fields


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 120 else f"{name[:60]}…{name[-60:]}")
