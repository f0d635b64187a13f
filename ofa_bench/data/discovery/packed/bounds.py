"""How many rows and bytes a parquet file may stand for. Torch-free.

Few bytes can be many, packed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ofa_bench.data.discovery.decoder import reading
from ofa_bench.data.discovery.inflate import FREE
from ofa_bench.errors import DataError
from ofa_bench.limits import advice, limit

FREE_ROWS = 4096  # of a file, however small
REMEDY = "fetch the file again"


class ImageRoom:
    """Bytes that the images of a file may take, in all."""

    def __init__(self, path: Path) -> None:
        with reading(path, "check its permissions"):
            self.size = path.stat().st_size
        self._path, self._sum = path, 0
        self._most = max(FREE, self.size * limit("archive-ratio"))

    def take(self, size: int) -> None:
        """Raise DataError if these images, with those before, take too many bytes."""
        self._sum += size
        self.check(self._sum)

    def check(self, size: int) -> None:
        """Raise DataError if that many bytes are too many."""
        if size > self._most:
            raise DataError(
                f"{self._path} unpacks to more than {limit('archive-ratio'):,} times its size",
                advice("archive-ratio"),
            )


def declared_rows(path: Path, metadata: Any, size: int) -> list[int]:
    """The number of rows of each row group, of a file of that many bytes.

    Raises DataError if they do not add up, or are too many.
    """
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    check_rows(path, metadata.num_rows, sum(rows))
    if sum(rows) > limit("archive-members"):
        raise DataError(
            f"{path} has {sum(rows):,} rows, the limit is {limit('archive-members'):,}",
            advice("archive-members", sum(rows)),
        )
    if sum(rows) > max(FREE_ROWS, size * limit("parquet-rows") // 1024):
        raise DataError(
            f"{path} has {sum(rows):,} rows in {size:,} bytes, the limit is "
            f"{limit('parquet-rows'):,} for each KiB",
            advice("parquet-rows", -(-sum(rows) * 1024 // size)),
        )
    return rows


def check_rows(path: Path, declared: int, present: int) -> None:
    if declared != present:
        raise DataError(f"{path} declares {declared:,} rows and has {present:,}", REMEDY)


def check_group(path: Path, group: int, size: int) -> None:
    """Raise DataError if a row group's images take too many bytes to be decoded as a whole."""
    if size > limit("parquet-group"):
        raise DataError(
            f"{path} has {size:,} bytes of images in its row group {group}, the limit is "
            f"{limit('parquet-group'):,} where they are compressed",
            advice("parquet-group", size),
        )
