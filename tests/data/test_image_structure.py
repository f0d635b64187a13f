"""Small image files that would take minutes or gigabytes are refused; odd ones are still read."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from ofa_bench.data.readers.images import read_image
from ofa_bench.errors import DataError

from .odd_files import chunk


def saved(form: str, side: int = 16, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (9, 90, 200)).save(stream, form, **options)
    return stream.getvalue()


def scans() -> bytes:
    """The last scan of a progressive JPEG 3,000 times: 100 KB, a minute."""
    raw = saved("JPEG", 2000, progressive=True)
    last, end = raw.rfind(b"\xff\xda"), raw.rfind(b"\xff\xd9")
    return raw[:end] + raw[last:end] * 3000 + raw[end:]


def exif() -> bytes:
    """EXIF in a thousand segments, which Pillow joins one by one."""
    raw = saved("JPEG")
    return raw[:2] + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) * 1000 + raw[2:]


def tags() -> bytes:
    """A TIFF of eight rows that names a million strips."""
    raw, count = saved("TIFF"), 10**6
    (start,) = struct.unpack_from("<I", raw, 4)
    (entries,) = struct.unpack_from("<H", raw, start)
    edited = bytearray(raw) + struct.pack("<I", 8) * count
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", raw, at)[0] in (273, 279):
            struct.pack_into("<HII", edited, at + 2, 4, count, len(raw))
    return bytes(edited)


def chunks() -> bytes:
    raw = saved("PNG")
    return raw[:33] + chunk(b"abCd", b"") * 400_000 + raw[33:]


FILES = {
    "scans.jpg": (scans, "image-scans"),
    "exif.jpg": (exif, "image-header"),
    "fill.jpg": (lambda: b"\xff\xd8" + b"\xff" * 20_000_000, "image-header"),
    "junk.jpg": (lambda: b"\xff\xd8\xff\xe0\0\2" + bytes(20_000_000), "image-header"),
    "tags.tif": (tags, "image-header"),
    "chunks.png": (chunks, "image-header"),
    "comment.gif": (
        lambda: b"GIF89a\x08\0\x08\0\0\0\0!\xfe" + (b"\xff" + b"a" * 255) * 40_000 + b"\0;",
        "image-header",
    ),
    "comment.ppm": (lambda: b"P6\n#" + b"a" * 40_000_000 + b"\n1 1 255 abc", "image-header"),
    "comments.ppm": (lambda: b"P6\n" + b"#\n" * 4_000_000 + b"1 1 255 abc", "image-header"),
    "text.ppm": (lambda: b"P3\n4000 4000 255\n" + b"1 " * 48_000_000, "image-values"),
    "levels.pgm": (lambda: b"P5\n8000 8000 3\n" + bytes(64_000_000), "image-values"),
    "runs.bmp": (
        lambda: (
            b"BM"
            + struct.pack("<IHHI", 0, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 0, 0)
            + b"\0\0" * 10_000_000
        ),
        "image-values",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_takes_minutes_is_refused_by_its_structure(name: str, tmp_path: Path) -> None:
    make, bound = FILES[name]
    path = tmp_path / name
    path.write_bytes(make())
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert name in caught.value.message
    assert f"--limit {bound}=" in caught.value.hint


def test_usual_files_are_within_the_bounds(tmp_path: Path) -> None:
    """Metadata, many strips, many scans and small chunks as programs write them."""
    profile = bytes(1_000_000)
    files = {
        "a.jpg": saved("JPEG", 600, progressive=True, icc_profile=profile, exif=b"Exif\0\0" * 9000),
        "b.png": saved("PNG", icc_profile=profile),
        "c.tif": saved("TIFF", 600, tiffinfo={278: 1}),
        "d.tif": saved("TIFF", compression="tiff_lzw", icc_profile=profile),
        "e.gif": saved("GIF", comment=b"a" * 50_000),
        "f.ppm": b"P6\n# by a scanner\n16 16\n# deep\n255\n" + bytes(768),
        "g.ppm": b"P3 2 1 255 # last\n1 2 3 4 5 6",
        "h.bmp": saved("BMP"),
        "i.webp": saved("WEBP", icc_profile=profile),
    }
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
        assert read_image(tmp_path / name).shape[0] == 3, name
