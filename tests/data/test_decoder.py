"""An image file becomes pixels or a sentence; never a crash, a hang, or another program's start."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from ofa_bench.data.readers.images import read_image
from ofa_bench.errors import DataError
from tests import preloaded

from .odd_files import Odd, chunk, odd_files, png, written

VARIABLE = "OFA_BENCH_LIMITS"
HOSTILE_SECONDS = 60  # a guard against hanging, no measure of speed


@pytest.mark.parametrize("odd", list(odd_files()), ids=lambda odd: odd.name)
def test_pixels_of_odd_files(odd: Odd, tmp_path: Path) -> None:
    path = tmp_path / odd.name
    path.write_bytes(odd.raw)
    pixels = read_image(path).permute(1, 2, 0).tolist()
    assert (len(pixels), len(pixels[0])) == (len(odd.expected), len(odd.expected[0]))
    off = max(
        abs(value - wanted)
        for row, line in zip(pixels, odd.expected, strict=True)
        for pixel, colour in zip(row, line, strict=True)
        for value, wanted in zip(pixel, colour, strict=True)
    )
    assert off <= odd.tolerance


FLIPPED = """
import random, sys
from pathlib import Path
from ofa_bench.data.readers.images import read_image
from ofa_bench.errors import DataError
folder, rng, refused = Path(sys.argv[1]), random.Random(5), 0
for source in sorted(folder.glob("*.*")):
    raw = source.read_bytes()
    for _ in range(60):
        flipped = bytearray(raw)
        flipped[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        source.write_bytes(flipped)
        try:
            assert read_image(source).shape[0] == 3
        except DataError as error:
            refused += 1
            assert source.name in error.message
print(refused)
"""


def test_a_flipped_bit_never_ends_the_process(tmp_path: Path) -> None:
    """In a process of its own, since a crash is what it is to find."""
    rng = random.Random(3)
    for mode, width in (("RGB", 3), ("L", 1), ("P", 1), ("RGBA", 4), ("I;16", 2)):
        image = Image.frombytes(mode, (40, 30), rng.randbytes(40 * 30 * width))
        image.save(tmp_path / f"{mode.replace(';', '')}.png")
    for odd in odd_files():
        (tmp_path / odd.name).write_bytes(odd.raw)
    done = preloaded.run(
        [sys.executable, "-c", FLIPPED, str(tmp_path)],
        timeout=10 * HOSTILE_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 100


FOREIGN = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "DDS": written(Image.new("RGB", (8, 8)), "DDS"),
    "BLP": written(Image.new("P", (8, 8)), "BLP"),
    "ICO": written(Image.new("RGB", (16, 16)), "ICO"),
    "TGA": written(Image.new("RGB", (8, 8)), "TGA"),
    "PDF": written(Image.new("RGB", (8, 8)), "PDF"),
    "nothing": b"",
    "text": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


def test_other_formats_are_refused_and_start_nothing(tmp_path: Path) -> None:
    """Through the command, with a Ghostscript on the PATH that tells when it is called."""
    programs, called = tmp_path / "bin", tmp_path / "called"
    programs.mkdir()
    for name in ("gs", "gswin32c", "gswin64c"):
        (programs / name).write_text(f"#!/bin/sh\necho $0 >> {called}\nexit 0\n")
        (programs / name).chmod(0o755)
    root = tmp_path / "pictures"
    for split in ("train", "val"):
        for label in ("a", "b"):
            (root / split / label).mkdir(parents=True)
            Image.new("RGB", (9, 9)).save(root / split / label / "fine.png")
    for kind, raw in FOREIGN.items():
        (root / "train" / "a" / f"{kind}.png").write_bytes(raw)
    done = preloaded.run(
        [sys.executable, "-m", "ofa_bench", "data", "check", "folder", "--json",
         "--data-dir", str(root)],
        timeout=HOSTILE_SECONDS,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    broken = {entry["file"]: entry["reason"] for entry in json.loads(done.stdout)["broken"]}
    assert set(broken) == {f"train/a/{kind}.png" for kind in FOREIGN}
    assert all("none of JPEG" in reason for reason in broken.values())
    assert not called.exists()


def bomb(side: int) -> bytes:
    """A PNG of black pixels, a side of which is 30,000, in few bytes."""
    row = b"\0" * (side // 8 + 1)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    whole = png(side, side, 1, 0, b"")
    start, end = whole.index(b"IDAT") - 4, whole.index(b"IEND") - 4
    return whole[:start] + chunk(b"IDAT", body) + whole[end:]


def limited(*paths: Path, **environment: str) -> list[str]:
    """`read_image` of each path, in a process that may take a gigabyte: what comes of it."""
    code = (
        "import resource, sys; from pathlib import Path; import torch; "
        "from ofa_bench.data.readers.images import read_image\n"
        "from ofa_bench.errors import DataError\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), -1))\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        print(tuple(read_image(Path(path)).shape))\n"
        "    except DataError as error:\n        print(error.message, '|', error.hint)\n"
    )
    done = preloaded.run(
        [sys.executable, "-c", code, *map(str, paths)],
        timeout=HOSTILE_SECONDS, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_picture_that_unpacks_to_gigabytes_is_told_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(30_000))
    assert path.stat().st_size < 3 << 20
    (line,) = limited(path)
    assert "too large: 900,000,000 pixels" in line
    assert "--limit image-pixels=900000000" in line


def test_the_bound_on_pixels_is_an_option(tmp_path: Path) -> None:
    wide, small = tmp_path / "wide.png", tmp_path / "small.png"
    Image.new("1", (20_000, 10_000)).save(wide)
    Image.new("RGB", (30, 30)).save(small)
    refused, taken = limited(wide, small)
    assert "too large: 200,000,000 pixels" in refused and taken == "(3, 30, 30)"
    refused, taken = limited(wide, small, **{VARIABLE: "image-pixels=899"})
    assert "too large: 900 pixels" in taken
    assert "needs more memory" in limited(wide, **{VARIABLE: "image-pixels=2e8"})[0]


def test_metadata_that_unpacks_to_gigabytes_costs_nothing(tmp_path: Path) -> None:
    body, paths = zlib.compress(bytes(1 << 30), 9), []
    for kind, head in (("iCCP", b"x\0\0"), ("zTXt", b"x\0\0"), ("iTXt", b"x\0\x01\0\0\0")):
        paths.append(tmp_path / f"{kind}.png")
        extra = chunk(kind.encode(), head + body)
        paths[-1].write_bytes(png(1, 1, 8, 0, b"\0\x07", extra))
    for line in limited(*paths):
        assert line == "(3, 1, 1)" or "cannot be decoded" in line


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    names = ("pipe", "zero", "folder", "absent")
    lines = limited(*(tmp_path / f"{name}.png" for name in names))
    reasons = ("is a named pipe", "is a device", "is a folder", "No such file")
    assert all(reason in line for reason, line in zip(reasons, lines, strict=True)), lines


def test_a_file_of_many_bytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    (line,) = limited(path)
    assert "too large: 1,099,511,627,776 bytes" in line
    assert "--limit image-bytes=1099511627776" in line


def test_floats_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nan.tif"
    Image.frombytes("F", (1, 1), b"\xff\xff\xff\x7f").save(path)
    with pytest.raises(DataError, match=r"nan\.tif cannot be decoded"):
        read_image(path)


def test_odd_metadata_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "broken-exif.jpg"
    Image.new("RGB", (8, 8), (9, 9, 9)).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read_image(path).shape == (3, 8, 8)
    info = PngImagePlugin.PngInfo()
    info.add_text("k", "v" * 1000)
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG", pnginfo=info)
    path.write_bytes(stream.getvalue())  # a PNG called .jpg is still a picture
    assert read_image(path).shape == (3, 8, 8)
