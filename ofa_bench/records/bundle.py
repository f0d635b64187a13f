"""A track as one file: records and bits in a zip, taken in only where they hold."""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ofa_bench.errors import UsageError
from ofa_bench.files import write_whole
from ofa_bench.records.render import plain_text
from ofa_bench.records.store import (
    LARGEST_BITS,
    LARGEST_RECORD,
    Entry,
    Store,
    read,
    read_bits,
    read_bytes,
)
from ofa_bench.records.validate import Context, validate

MOST = 20_000  # files in a bundle
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that equal records make an equal file


def export(entries: Iterable[Entry], file: Path) -> int:
    """Write the records and their bits as one zip; returns how many. UsageError on none."""
    buffer, count = io.BytesIO(), 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for entry in sorted(entries, key=lambda each: each.path):
            inside = PurePosixPath(*entry.path.parts[-3:])
            _add(bundle, inside, read_bytes(entry.path, LARGEST_RECORD))
            bits = read_bits(entry.path, entry.record)
            if bits is not None:
                _add(bundle, inside.with_suffix(".bits"), bits)
            count += 1
    if not count:
        raise UsageError("there is no record to export", "`ofa-bench runs` lists what there is")
    write_whole(file, buffer.getvalue())
    return count


def _add(bundle: zipfile.ZipFile, name: PurePosixPath, data: bytes) -> None:
    bundle.writestr(zipfile.ZipInfo(str(name), LONG_AGO), data, zipfile.ZIP_DEFLATED)


def take_in(file: Path, store: Store, context: Context | None = None) -> list[Path]:
    """Store a bundle's records, all or none; each is validated first.

    Names inside say only which bits belong to which record: where files go is the store's to say.
    Raises UsageError on a file that is no bundle, or a record that does not hold.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for path in _unpacked(file, Path(folder)):
            findings = validate(path, context or Context())
            if findings:
                raise UsageError(
                    f"{file}: {path.name}: {findings[0]}", "ask its sender for a whole bundle"
                )
            found.append(path)
        records = [(record, read_bits(path, record)) for path in found for record in [read(path)]]
        return [store.write(record, bits) for record, bits in records]


def _unpacked(file: Path, folder: Path) -> list[Path]:
    """The bundle's records laid out below a folder of our own."""
    try:
        with zipfile.ZipFile(file) as bundle:
            members = bundle.infolist()
            if len(members) > MOST:
                raise UsageError(f"{file} holds {len(members)} files", "no bundle is that large")
            for member in members:
                _unpack(bundle, member, folder)
    except UNREADABLE as error:
        raise UsageError(
            f"{file} cannot be read as a bundle: {plain_text(str(error))}",
            "`ofa-bench records export FILE` makes one",
        ) from error
    return sorted(folder.glob("*/*/*.json"))


def _unpack(bundle: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    parts = PurePosixPath(member.filename).parts
    plain = all(part not in ("..", ".") and "\\" not in part for part in parts)
    if len(parts) != 3 or not plain or Path(member.filename).suffix not in (".json", ".bits"):
        raise UsageError(
            f"{plain_text(member.filename)!r} has no place in a bundle", "it is not one of ours"
        )
    if member.file_size > max(LARGEST_RECORD, LARGEST_BITS):
        raise UsageError(f"{plain_text(member.filename)} is too large", "it is not one of ours")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with bundle.open(member) as stream:
        target.write_bytes(stream.read(member.file_size + 1))
