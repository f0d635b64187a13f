"""Read parquet files of images in the layout of Hugging Face `datasets`. Torch-free.

A column of struct{bytes, path} and one of class numbers, whose names are in the schema's
`huggingface` metadata. Where the images' column is not compressed, an image lies in the file as it
is, and its offset is noted, so that it is read as from a shard; otherwise its row group is decoded.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ofa_bench.atomic_io import open_regular
from ofa_bench.data.discovery.datasets import DatasetSpec
from ofa_bench.data.discovery.decoder import reading
from ofa_bench.data.discovery.packed.bounds import (
    REMEDY,
    ImageRoom,
    check_group,
    check_rows,
    declared_rows,
)
from ofa_bench.data.discovery.packed.samples import (
    NOWHERE,
    PackedImage,
    Proceed,
    Samples,
    joined,
    measured,
    proceeding,
    samples_of,
)
from ofa_bench.data.discovery.tar import LONGEST_NAME
from ofa_bench.errors import DataError
from ofa_bench.limits import advice, limit
from ofa_bench.strict import shown, strange

MAGIC = b"PAR1"
TAIL = struct.Struct("<I4s")
LENGTH = struct.Struct("<I")
LABELS = ("label", "labels", "fine_label")
PIECE = 4096  # images that are objects before they are a table
LARGEST_LABEL = 2**63 - 1
GAP = 1 << 16  # bytes of headers that may lie between two images of a column chunk
UNNAMED = b"row"
INSTALL = "install it: pip install 'ofa-bench[parquet]'"


class Columns(NamedTuple):
    """The columns of images and labels, the images' position among the leaf columns (-1: none),
    and the class names (none: the file has no names)."""

    image: str
    label: str
    leaf: int
    classes: tuple[str, ...]


def parquet_samples(path: Path, spec: DatasetSpec, proceed: Proceed = proceeding) -> Samples:
    """The images of a file with their labels, in its order.

    Raises DataError if the file is damaged, has no such columns, or other rows than it declares.
    """
    tables = [samples_of([])]
    room = ImageRoom(path)
    with opened_parquet(path) as file, open_regular(path) as raw:
        columns = columns_of(path, file, spec)
        declared = declared_rows(path, file.metadata, room.size)
        for group, rows in enumerate(declared):
            room.check(_unpacked(file, group, columns))
            values = _values(file, group, columns, proceed)
            samples = _group_samples(path, group, values, _spans(raw, file, group, columns), room)
            pieces = iter(lambda: list(itertools.islice(samples, PIECE)), [])  # noqa: B023
            fresh = joined([samples_of([]), *map(samples_of, pieces)])
            check_rows(path, rows, len(fresh))
            if (fresh.spans[:, 0] == NOWHERE).any():
                check_group(path, group, int(fresh.spans[:, 1].sum()))
            tables.append(fresh)
        return joined(tables)


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """A parquet file, whose end was checked before. Raises DataError if it cannot be read."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"pyarrow, which reads {path}, is not here", INSTALL) from error
    size = _footer(path)
    bounds = {"thrift_string_size_limit": size, "thrift_container_size_limit": size}
    try:
        with closing(ParquetFile(path, pre_buffer=False, buffer_size=1 << 16, **bounds)) as file:
            yield file
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, ArithmeticError) as error:
        reason = shown(str(error).partition("\n")[0])
        raise DataError(f"{path} is damaged or cut short: {reason}", REMEDY) from error
    except MemoryError as error:
        raise DataError(f"{path} needs more memory than there is", REMEDY) from error


def _footer(path: Path) -> int:
    """The size of what describes the file, in bytes. Raises DataError if it is out of bounds."""
    with reading(path, "check its permissions"), open_regular(path) as file:
        whole = os.fstat(file.fileno()).st_size
        tail = os.pread(file.fileno(), TAIL.size, max(0, whole - TAIL.size))
        head = os.pread(file.fileno(), len(MAGIC), 0)
    size, magic = TAIL.unpack(tail) if len(tail) == TAIL.size else (0, b"")
    if head != MAGIC or magic != MAGIC or size + TAIL.size + len(MAGIC) > whole:
        raise DataError(f"{path} is cut short, or no parquet file", REMEDY)
    if size > limit("parquet-footer"):
        raise DataError(
            f"{path} describes itself in {size:,} bytes, the limit is {limit('parquet-footer'):,}",
            advice("parquet-footer", size),
        )
    return int(size)


def columns_of(path: Path, file: Any, spec: DatasetSpec) -> Columns:
    """The columns of images and labels. Raises DataError if there are none, or several."""
    import pyarrow

    schema = file.schema_arrow
    features = _features(path, schema.metadata or {})
    images = [field.name for field in schema if _holds_images(field.type, pyarrow)]
    labels = {
        field.name: _names(path, features.get(field.name))
        for field in schema
        if pyarrow.types.is_integer(field.type)
    }
    fitting = [name for name in labels if spec.classes and len(labels[name]) == spec.classes]
    fitting = fitting if len(fitting) == 1 else [name for name in LABELS if name in labels]
    if len(images) != 1 or not fitting:
        held = shown(", ".join(schema.names))
        raise DataError(
            f"{path} has no column of images (struct of bytes and path) with one of labels "
            f"(whole numbers): its columns are {held}",
            "wanted: `image` and `label`, as the library `datasets` writes them",
        )
    leaves = [file.schema.column(number).path for number in range(len(file.schema))]
    leaf = leaves.index(f"{images[0]}.bytes") if f"{images[0]}.bytes" in leaves else -1
    return Columns(images[0], fitting[0], leaf, labels[fitting[0]])


def _holds_images(kind: Any, pyarrow: Any) -> bool:
    if not pyarrow.types.is_struct(kind):
        return False
    fields = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
    binary = (pyarrow.binary(), pyarrow.large_binary())
    text = (pyarrow.string(), pyarrow.large_string(), pyarrow.null())
    return (
        fields.keys() == {"bytes", "path"} and fields["bytes"] in binary and fields["path"] in text
    )


def _features(path: Path, metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    try:
        tree = json.loads(metadata.get(b"huggingface", b"{}"))
        if next(strange(tree), None):
            raise ValueError("it is nested too deeply")
        features = tree.get("info", {}).get("features") or {}
        if not isinstance(features, dict):
            raise ValueError("its features are no table")
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: its huggingface metadata makes no sense", REMEDY) from error
    return features


def _names(path: Path, feature: Any) -> tuple[str, ...]:
    names = feature.get("names") if isinstance(feature, dict) else None
    if not isinstance(names, list):
        return ()
    if len(names) > limit("parquet-names"):
        raise DataError(f"{path} names {len(names):,} classes", advice("parquet-names", len(names)))
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise DataError(f"{path} has class names that are no text, or come twice", REMEDY)
    return tuple(names)


Row = tuple[Any, Any, Any]


def _unpacked(file: Any, group: int, columns: Columns) -> int:
    """Bytes of the columns that are read of a row group, as the file describes them."""
    row_group = file.metadata.row_group(group)
    chunks = map(row_group.column, range(row_group.num_columns))
    wanted = (columns.image, columns.label)
    return sum(
        max(0, chunk.total_uncompressed_size)
        for chunk in chunks
        if chunk.path_in_schema.partition(".")[0] in wanted
    )


def _values(file: Any, group: int, columns: Columns, proceed: Proceed) -> Iterator[Row]:
    """Bytes, path and label of each row of a row group, as arrow values.

    One row at once: a dictionary may have one large image for many rows.
    """
    wanted = [columns.image, columns.label]
    for batch in file.iter_batches(1, row_groups=[group], columns=wanted, use_threads=False):
        proceed()
        image, label = (batch.column(name)[0] for name in wanted)
        yield *((image["bytes"], image["path"]) if image.is_valid else (None, None)), label


def _group_samples(
    path: Path, group: int, values: Iterator[Row], spans: _Spans, room: ImageRoom
) -> Iterator[PackedImage]:
    for row, (image, inner, number) in enumerate(values):
        where = f"row {row} of row group {group}"
        if image is None or not image.is_valid:
            raise DataError(
                f"{path} has no bytes of an image in {where}",
                "images must be embedded, as `Dataset.push_to_hub` and `embed_table_storage` do",
            )
        label = number.as_py()
        if label is None:
            raise DataError(f"{path} has no label in {where}", REMEDY)
        if label > LARGEST_LABEL:
            raise DataError(f"{path} has the label {label} in {where}, out of range", REMEDY)
        if _size(image) > limit("image-bytes"):
            raise DataError(
                f"{path}: the image in {where} is too large: "
                f"{_size(image):,} bytes, the limit is {limit('image-bytes'):,}",
                advice("image-bytes", _size(image)),
            )
        if _size(inner) > LONGEST_NAME:
            raise DataError(
                f"{path} has a name of {_size(inner):,} bytes in {where}, the limit is "
                f"{LONGEST_NAME:,}",
                "write the file with shorter names",
            )
        room.take(_size(image))
        name = (inner.as_py() or "").replace("\0", "").encode("utf-8", "surrogateescape")
        content = image.as_py()
        yield measured(name, spans.of(content), (group, row), label, content)


def _size(value: Any) -> int:
    return len(value.as_buffer()) if value is not None and value.is_valid else 0


class _Spans:
    """Finds images in a column chunk, where they lie one after the other if it is not compressed.

    The bytes tell, and not the description: pyarrow ends the process where it is asked for a
    compression that does not exist.
    """

    def __init__(self, handle: int, start: int, stop: int) -> None:
        self._handle, self._at, self._stop = handle, start, stop
        self._firsts: dict[int, int] = {}  # of images that a dictionary holds once

    def of(self, content: bytes) -> tuple[int, int]:
        """The first byte and the number of bytes; NOWHERE if it does not lie there as it is."""
        size, mark = len(content), hash(content)
        first = self._firsts.get(mark, NOWHERE)
        if first >= 0 and os.pread(self._handle, size, first) == content:
            return first, size
        most = min(LENGTH.size + size + GAP, self._stop - self._at)
        if most < LENGTH.size + size:
            return NOWHERE, size
        window = os.pread(self._handle, most, self._at)
        at = window.find(LENGTH.pack(size) + content)
        if at < 0:
            self._stop = self._at  # it is compressed: no other image is looked for
            return NOWHERE, size
        first = self._firsts[mark] = self._at + at + LENGTH.size
        self._at = first + size
        return first, size


def _spans(raw: Any, file: Any, group: int, columns: Columns) -> _Spans:
    chunk = file.metadata.row_group(group).column(max(columns.leaf, 0))
    starts = [chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset]
    start = max(0, min(starts))
    return _Spans(
        raw.fileno(), start, start + (chunk.total_compressed_size if columns.leaf >= 0 else 0)
    )


def group_images(file: Any, group: int, columns: Columns) -> Any:
    """All images of a row group, as an arrow array of bytes."""
    table = file.read_row_group(group, columns=[f"{columns.image}.bytes"], use_threads=False)
    return table.column(0).combine_chunks().field("bytes")
