"""Read and decode image files with Pillow, for `run` and `data check`. Torch-free.

EXIF orientation is not applied, transparency is dropped, the first of several frames is read, and
16-bit images are reduced to their upper eight bits.
"""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ofa_bench.data.discovery.image_structure import excess
from ofa_bench.errors import DataError
from ofa_bench.limits import advice, limit

if TYPE_CHECKING:
    from multiprocessing.pool import ThreadPool

    from numpy.typing import NDArray
    from PIL import Image

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""All that Pillow may open: left to itself it would take a file for whatever its bytes say, and
start Ghostscript for PostScript."""
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
MOST_THREADS = 8
REMEDY = "replace or remove the file; `ofa-bench data check` finds all such files"

# Of odd metadata, which the pixels do not depend on.
warnings.filterwarnings("ignore", module=r"(PIL|ofa_bench\.data\.decoder)(\.|$)")
_OPENING = threading.Lock()


class Decoder(NamedTuple):
    """A decoding library, its version, and its JPEG library."""

    name: str
    version: str
    jpeg: str


@lru_cache(maxsize=1)
def decoder() -> Decoder:
    import PIL
    from PIL import features

    turbo = features.version("libjpeg_turbo")
    jpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return Decoder("pillow", PIL.__version__, jpeg)


def decoder_of(kept: object) -> Decoder | None:
    """A decoder from [name, version, JPEG library]. Raises ValueError if it is anything else."""
    if kept is None:
        return None
    if not isinstance(kept, list) or [type(part) for part in kept] != [str] * 3:
        raise ValueError("it names no decoder")
    return Decoder(*(part[:50] for part in kept))


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file. Raises DataError if it is not a regular file, too large, or
    unreadable.

    The file type is checked before and after opening, since a pipe or a device could block.
    """
    try:
        with reading(path, "check that the file is there"):
            _check_kind(path, path.stat())
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(handle, "rb") as file:
                size = _check_kind(path, os.fstat(file.fileno()))
                return file.read(size)
    except MemoryError as error:
        raise _short_of_memory(path) from error


@contextmanager
def reading_threads() -> Iterator[ThreadPool]:
    """A thread pool whose threads are joined when the block ends, also by an exception.

    `ThreadPool` itself leaves them running. At process exit they would be killed inside a library,
    which aborts the process with exit code 134 instead of the one for an interruption.
    """
    from multiprocessing.pool import ThreadPool

    pool = ThreadPool(min(MOST_THREADS, os.cpu_count() or 1))
    try:
        yield pool
    finally:
        pool.terminate()
        pool.join()


@contextmanager
def reading(subject: object, hint: str) -> Iterator[None]:
    """Raise DataError where the system does not let a file or a folder be read."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {subject}: {error.strerror or error}", hint) from error


def _check_kind(path: Path, status: os.stat_result) -> int:
    """The size in bytes. Raises DataError if it is not a regular file or too large."""
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is {kind_of(status.st_mode)}, not a file", "remove it")
    if status.st_size > limit("image-bytes"):
        raise DataError(
            f"{path} is too large: {status.st_size:,} bytes, the limit is "
            f"{limit('image-bytes'):,} for one image",
            advice("image-bytes", status.st_size),
        )
    return status.st_size


def kind_of(mode: int) -> str:
    """The kind of a directory entry as text."""
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "of no known kind")


def size_of(raw: bytes) -> tuple[int, int]:
    """Width and height as the header gives them; (0, 0) where none is readable or they exceed
    the limit."""
    if excess(raw):
        return (0, 0)
    try:
        with _opened(raw) as image:
            return image.size
    except Exception:  # a parser's error of any kind: these are strangers' bytes
        return (0, 0)


def decode(raw: bytes, path: Path) -> NDArray[Any]:
    """Decode an image file's bytes to RGB, uint8 [H, W, 3]. Raises DataError if they are damaged,
    of another format, or have too many pixels."""
    from PIL import Image, UnidentifiedImageError

    if over := excess(raw):
        raise DataError(f"{path} is too large: {over.what}", advice(over.limit, over.needed))
    try:
        with _opened(raw) as image:
            if (count := image.width * image.height) > limit("image-pixels"):
                raise _too_large(path, count)
            return pixels_of(image)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        digits = re.search(r"\d+", str(error))  # "Image size (N pixels) exceeds ..."
        raise _too_large(path, int(digits[0]) if digits else 0) from error
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise DataError(
            f"{path} cannot be decoded: it is corrupt, truncated, or none of {formats}", REMEDY
        ) from error
    except MemoryError as error:
        raise _short_of_memory(path) from error
    except Exception as error:  # a parser's error of any kind: these are strangers' bytes
        raise DataError(
            f"{path} cannot be decoded: it is corrupt or truncated ({type(error).__name__})",
            REMEDY,
        ) from error


def _opened(raw: bytes) -> Image.Image:
    """The image, its header read; the bound on pixels in force is Pillow's own while it looks."""
    from PIL import Image

    with _OPENING:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = (limit("image-pixels") + 1) // 2  # an error from twice as many on
        try:
            return Image.open(io.BytesIO(raw), formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _too_large(path: Path, count: int) -> DataError:
    return DataError(
        f"{path} is too large: {count:,} pixels, the limit is {limit('image-pixels'):,}",
        advice("image-pixels", count),
    )


def _short_of_memory(path: Path) -> DataError:
    return DataError(f"{path} needs more memory than there is", REMEDY)


def pixels_of(image: Image.Image) -> NDArray[Any]:
    """An image of any mode as RGB, uint8 [H, W, 3]; deep grey values in eight bits."""
    import numpy as np

    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _eight_bits(np.asarray(image))
        return np.repeat(grey[:, :, None], 3, axis=2)
    usual = image if image.mode == "RGB" else image.convert("RGB")
    pixels = np.frombuffer(bytearray(usual.tobytes()), dtype=np.uint8)
    return pixels.reshape(usual.height, usual.width, 3)


def _eight_bits(grey: NDArray[Any]) -> NDArray[Any]:
    """Deep grey values in eight bits: whole numbers are sixteen bits; floats end at 1, or at the
    largest that there is."""
    import numpy as np

    if grey.dtype.kind in "iu":
        upper: NDArray[Any] = np.clip(grey, 0, 65535) >> 8
        return upper.astype(np.uint8)
    if not np.isfinite(grey).all():
        raise ValueError("values that are not finite")
    white = max(float(grey.max()), 1.0)
    scaled: NDArray[Any] = np.clip(grey.astype(np.float64) * (255 / white), 0, 255).round()
    return scaled.astype(np.uint8)
