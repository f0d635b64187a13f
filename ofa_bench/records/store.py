"""Where records live: `records/<dataset>/<method>/<run>.json`, each written once, whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ofa_bench.atomic_io import make_folder, write_whole
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.limits import advice, limit
from ofa_bench.locks import exclusive_folder
from ofa_bench.records.json_text import first_fault, parsed, spell
from ofa_bench.records.schema import Record, canonical, plain
from ofa_bench.records.staging import Staging, recover
from ofa_bench.sanitize import plain_text

KEPT, KEPT_BYTES = 256, 2**18  # records in memory, and the largest of them
_SHORT = {
    "method": "method.name",
    "dataset": "task.dataset",
    "space": "task.space.name",
    "run": "run.id",
    **{family: f"method.{family}.name" for family in ("shrink", "lr", "distill")},
}


@dataclass(frozen=True)
class StoredRecord:
    """A record and the file that holds it; `machines`: where others' reruns reproduced it."""

    path: Path
    record: Record
    machines: tuple[str, ...] = ()


class Store:
    """The records under one results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.root = results / "records"

    def path(self, record: Record) -> Path:
        """The record's file; names are reduced to letters that cannot leave the folder."""
        return self.path_of(record.task.dataset, record.method.name, record.run.id)

    def path_of(self, dataset: str, method: str, run: str) -> Path:
        """The file of a run's record."""
        return self.root / slug(dataset) / slug(method) / f"{slug(run)}.json"

    def check_free(self, dataset: str, method: str, run: str) -> None:
        """BenchError where a run's record could not be stored, since its file holds another one;
        the record of an attempt of this run that failed gives way."""
        path = self.path_of(dataset, method, run)
        if path.exists() or path.is_symlink():
            superseded(path, run)

    def write(self, record: Record, bits: bytes | None = None) -> Path:
        """Keep a record and its bits; the same record twice is one.

        A record of the same run that `failed` gives way, and is kept beside as `<run>.failed-1`,
        `-2` and so on. Safe beside other processes. Raises BenchError where the name holds another
        record or the bits are not those the record speaks of.
        """
        path = self.path(record)
        _fit(record, bits, path)
        text = spell(plain(record))
        make_folder(self.results, path.parent)
        with exclusive_folder(path.parent):  # one writer at a time
            held = path.exists()
            if held and path.read_bytes() == text.encode():
                return path
            if held:
                superseded(path, record.run.id)
                keep_failed(path)
            if bits is not None:
                write_whole(path.with_suffix(".bits"), bits)
            write_whole(path, text, exclusive=not held)
        return path

    def write_all(self, batch: Iterable[tuple[Record, bytes | None]]) -> list[Path]:
        """Keep several records and their bits: all of them, or none, even where the process is
        killed. Raises BenchError as `write` does."""
        paths: dict[Path, str] = {}
        with Staging(self.results) as staging:
            for record, bits in batch:
                path, text = self.path(record), spell(plain(record))
                _fit(record, bits, path)
                present = _present(path, paths, text)
                paths[path] = text
                if present:
                    continue
                inside = path.relative_to(self.results)
                if bits is not None:
                    staging.write(inside.with_suffix(".bits"), bits)
                staging.write(inside, text.encode())
            staging.commit()
        return list(paths)

    def list(
        self,
        filters: Iterable[str] = (),
        broken: Callable[[UsageError], object] | None = None,
    ) -> list[StoredRecord]:
        """The records that answer to every `key=value`, by path.

        An unreadable file raises UsageError, unless `broken` takes the errors.
        """
        wanted = [_condition(text) for text in filters]
        recover(self.results)
        matches = []
        for path in sorted(self.root.glob("*/*/*.json")):
            try:
                entry = StoredRecord(path, read(path))
            except UsageError as error:
                if broken is None:
                    raise
                broken(error)
                continue
            values = plain(entry.record) if wanted else {}
            if all(_answers(values, key, value) for key, value in wanted):
                matches.append(entry)
        return matches

    def find(self, name: str) -> StoredRecord:
        """The one record whose run id, or file, begins with `name`; UsageError otherwise."""
        if Path(name).suffix == ".json" and Path(name).is_file():
            return StoredRecord(Path(name), read(Path(name)))
        entries = self.list(broken=lambda error: None)
        ids = [(entry, (entry.record.run.id, entry.record.run_id)) for entry in entries]
        matches = [entry for entry, names in ids if name in names]
        matches = matches or [
            entry for entry, names in ids if any(known.startswith(name) for known in names)
        ]
        if len(matches) == 1 and name:
            return matches[0]
        names = ", ".join(sorted(entry.record.run.id for entry in matches)[:8])
        if matches:
            raise UsageError(f"several runs begin with {name!r}", f"say which: {names}")
        raise UsageError(
            f"no record of a run {plain_text(name)!r} in {self.root}",
            "`ofa-bench runs` lists what there is",
        )


def read(path: Path) -> Record:
    """The record in a file; UsageError names the file and the field that is wrong."""
    return parse(read_bytes(path, "record-bytes"), str(path))


def parse(raw: bytes, source: str) -> Record:
    """The record that these bytes spell; UsageError names the source and the field."""
    source = plain_text(source)
    try:
        return (_record if len(raw) <= KEPT_BYTES else _record.__wrapped__)(raw)
    except ValidationError as error:
        hint = "the file is not a record of this version, or was changed"
        raise UsageError(f"{source}: {first_fault(error, 'the record')}", hint) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{source}: is not JSON of a record: {plain_text(str(error))}",
            "the file was changed or cut off",
        ) from error


@lru_cache(maxsize=KEPT)
def _record(raw: bytes) -> Record:
    """Kept by what the file holds: boards and claims read the same records many times."""
    return parsed(Record, raw)


def read_bits(path: Path, record: Record) -> bytes | None:
    """The bits beside a record's file, unchecked; None where the record has none."""
    if record.bits is None:
        return None
    return read_bytes(path.with_name(record.bits.file), "bits-bytes")


def regular_file(path: Path, hint: str = "check the path") -> os.stat_result:
    """The facts of a file; UsageError where it is absent or no regular file (a pipe, a device)."""
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{plain_text(path)}: cannot be read: {reason}", hint) from error
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{plain_text(path)}: is no regular file", hint)
    return facts


def read_bytes(path: Path, bound: str) -> bytes:
    """A file's bytes; UsageError where it is absent, no regular file, or over that limit."""
    size, most = regular_file(path).st_size, limit(bound)
    try:
        if size <= most:
            with path.open("rb") as stream:
                raw = stream.read(most + 1)
            if len(raw) <= most:
                return raw
    except OSError as error:
        raise UsageError(
            f"{plain_text(path)}: cannot be read: {error.strerror or error}", "check the path"
        ) from error
    raise UsageError(f"{plain_text(path)}: is over {most:,} bytes", advice(bound, size))


def slug(name: str) -> str:
    """A name as a file name: lower case, only a-z 0-9 . _ + -, no leading dot, at most 100."""
    text = re.sub(r"[^a-z0-9._+-]+", "-", name.lower()).lstrip(".-")
    return text[:100] or "unnamed"


def at(record: Record | Mapping[str, Any], dotted: str) -> Any:
    """The value at a dotted path such as `science.optim.lr` of a record, or of its JSON values;
    None where there is none."""
    value: Any = plain(record) if isinstance(record, Record) else record
    for part in _SHORT.get(dotted, dotted).split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _answers(values: Mapping[str, Any], key: str, value: str) -> bool:
    matches = at(values, key)
    if isinstance(matches, str):
        return matches == value
    try:
        return matches is not None and canonical(matches) == canonical(json.loads(value))
    except ValueError:
        return False


def _condition(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(
            f"{text!r} is not a filter", "write key=value, such as method=NAME or science.seed=1"
        )
    return key.strip(), value.strip()


def _present(path: Path, earlier: Mapping[Path, str], text: str) -> bool:
    """Whether this text is stored at the path already; BenchError where another one is."""
    held = earlier.get(path)
    if held is None and path.exists():
        held = path.read_text(encoding="utf-8", errors="replace")
    if held is not None and held != text:
        raise BenchError(f"{path} holds another record already", "records are never overwritten")
    return held is not None


def _fit(record: Record, bits: bytes | None, path: Path) -> None:
    stored_bits = record.bits
    if (stored_bits is None) != (bits is None):
        raise BenchError(f"{path}: a record and its bits go together", "pass both or neither")
    if stored_bits is None or bits is None:
        return
    if stored_bits.file != path.with_suffix(".bits").name:
        raise BenchError(f"{path}: bits.file is {stored_bits.file!r}", "name it as the run")
    if hashlib.sha256(bits).hexdigest() != stored_bits.sha256:
        raise BenchError(f"{path}: bits.sha256 is not that of the bits", "seal the record anew")


def superseded(path: Path, run: str) -> None:
    """BenchError unless a file holds the record of an attempt at the same run that failed."""
    try:
        record = read(path)
    except UsageError as error:
        raise BenchError(
            f"{path} holds something else already: {error.message}",
            "move that file away, or name another folder with --results DIR",
        ) from error
    if record.status != "failed" or record.run.id != run:
        raise BenchError(f"{path} holds another record already", "records are never overwritten")


def keep_failed(path: Path) -> None:
    """Keep a failed attempt's record under the next free name; boards and lists leave it out."""
    for number in count(1):
        try:
            os.link(path, path.with_name(f"{path.stem}.failed-{number}"))
        except FileExistsError:
            continue
        return
