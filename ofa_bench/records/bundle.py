"""A track as one file: records and bits in a zip, taken in only where they hold."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UsageError
from ofa_bench.limits import advice, limit
from ofa_bench.records.schema import Record
from ofa_bench.records.store import (
    Store,
    StoredRecord,
    parse,
    read_bits,
    read_bytes,
    regular_file,
)
from ofa_bench.records.validation.validate import Context, findings_of
from ofa_bench.sanitize import plain_text

UNREADABLE = (
    *(OSError, zipfile.BadZipFile, zlib.error, EOFError),
    *(RuntimeError, ValueError, NotImplementedError, struct.error),
)
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that equal records make an equal file
MAKING = "`ofa-bench records export FILE` makes one"
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others reserve memory as a file bids them
DIRECTORY_ENTRY = 512  # bytes, no entry of a bundle's own directory is longer
END = struct.Struct("<4s4H2LH")  # a zip's last record: signature, counts, size, offset, comment
CHUNK = 1 << 20


@dataclass(frozen=True)
class BundleMember:
    """A record in a bundle, and its bits where it has some. Names are labels, never paths."""

    label: str
    record: zipfile.ZipInfo
    bits: zipfile.ZipInfo | None


def export(entries: Iterable[StoredRecord], file: Path) -> int:
    """Write the records and their bits as one zip; returns how many. UsageError on none."""
    buffer, count = io.BytesIO(), 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for entry in sorted(entries, key=lambda entry: entry.path):
            inside = PurePosixPath(*entry.path.parts[-3:])
            _add(bundle, inside, read_bytes(entry.path, "record-bytes"))
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
    """Store a bundle's records, all or none, even where the process is killed; each is validated
    before anything is written.

    Names inside say only which bits belong to which record: where files go is the store's to say.
    Raises UsageError on a file that is no bundle, or a record that does not hold.
    """
    context = context or Context()
    try:
        with _opened(file) as bundle:
            members = _members(file, bundle)
            for member in members:
                _check(file, bundle, member, context)
            return store.write_all(_read(bundle, member)[1:] for member in members)
    except UNREADABLE as error:
        raise UsageError(
            f"{file} cannot be read as a bundle: {plain_text(str(error))}",
            MAKING,
        ) from error


def _opened(file: Path) -> zipfile.ZipFile:
    """The zip, whose size and whose directory's size are known to be bounded."""
    size, most = regular_file(file, MAKING).st_size, limit("bundle-bytes")
    if size > most:
        raise UsageError(
            f"{file} is {size:,} bytes, over the bound of {most:,}", advice("bundle-bytes", size)
        )
    with file.open("rb") as stream:
        stream.seek(max(0, size - END.size - 20))
        tail = stream.read()
    signature, *_, directory, _, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment or tail[: -END.size].startswith(b"PK\x06\x07"):
        raise zipfile.BadZipFile("it does not end as a bundle does")
    if directory > limit("bundle-files") * DIRECTORY_ENTRY:
        raise UsageError(f"{file} holds too many files", advice("bundle-files"))
    return zipfile.ZipFile(file)


def _members(file: Path, bundle: zipfile.ZipFile) -> list[BundleMember]:
    """The records inside, once what they would unpack to is known to be bounded."""
    every = [info for info in bundle.infolist() if not info.is_dir()]
    if len(every) > limit("bundle-files"):
        raise UsageError(f"{file} holds {len(every)} files", advice("bundle-files", len(every)))
    total = sum(info.file_size for info in every)
    if total > limit("bundle-bytes"):
        raise UsageError(
            f"{file} unpacks to {total:,} bytes, over the bound of {limit('bundle-bytes'):,}",
            advice("bundle-bytes", total),
        )
    named: dict[str, zipfile.ZipInfo] = {}
    for info in every:
        if info.filename in named or not info.filename.endswith((".json", ".bits")):
            raise _foreign(file, info.filename)
        named[info.filename] = info
    members = []
    for number, (name, info) in enumerate(named.items(), 1):
        if name.endswith(".json"):
            bits = named.get(f"{name.removesuffix('.json')}.bits")
            label = f"{file}: member {number} ({plain_text(name, 80)})"
            members.append(BundleMember(label, info, bits))
    for name in named:
        if name.endswith(".bits") and f"{name.removesuffix('.bits')}.json" not in named:
            raise _foreign(file, name)
    if not members:
        raise UsageError(f"{file} holds no record", "ask its sender")
    return members


def _foreign(file: Path, name: str) -> UsageError:
    return UsageError(
        f"{file}: {plain_text(name)!r} is no record, nor the bits of one", "it is not one of ours"
    )


def _check(file: Path, bundle: zipfile.ZipFile, member: BundleMember, context: Context) -> None:
    raw, record, bits = _read(bundle, member)
    every = findings_of(record, raw, lambda: bits, context)
    findings = [finding for finding in every if not finding.unknown]
    if findings:
        raise UsageError(f"{member.label}: {findings[0]}", "ask its sender for a whole bundle")


def _read(bundle: zipfile.ZipFile, member: BundleMember) -> tuple[bytes, Record, bytes | None]:
    raw = _bytes(bundle, member.record, "record-bytes")
    bits = None if member.bits is None else _bytes(bundle, member.bits, "bits-bytes")
    return raw, parse(raw, member.label), bits


def _bytes(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, bound: str) -> bytes:
    """A member's bytes, read in pieces: what it declares is not believed."""
    most = limit(bound)
    if info.compress_type not in METHODS:
        raise zipfile.BadZipFile(f"{info.filename} is packed by a method that bundles do not use")
    parts: list[bytes] = []
    with bundle.open(info) as stream:
        while part := stream.read(CHUNK):
            parts.append(part)
            most -= len(part)
            if most < 0:
                raise UsageError(
                    f"{plain_text(info.filename)} is over {limit(bound):,} bytes", advice(bound)
                )
    return b"".join(parts)
