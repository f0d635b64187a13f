"""Images: every format that can be written here, changed by bytes, by chunks and by header."""

from __future__ import annotations

import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.hostile.box import Box
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case
from tests.hostile.spelling import garbled

SUFFIXES = ["png", "jpg", "jpeg", "JPG", "bmp", "gif", "webp", "tif", "ppm", "pgm", "jfif"]
SIDES = [0, 1, 2, 8, 13_000, 30_000, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n%%EOF\n"
RUN = [
    "run",
    "--method",
    "deps",
    "--dataset",
    "folder",
    "--space",
    "toy",
    "--epochs",
    "0.1",
    "--device",
    "cpu",
]
RUN += [
    "--set",
    "evaluate.per_bucket=1",
    "--set",
    "evaluate.curve=0",
    "--set",
    "evaluate.buckets=1",
]
RUN += ["--set", "data.select=4", "--set", "optim.batch=4", "--set", "optim.norm_batch=4", "--json"]
RUN += ["--workers", "0"]
CHECK = ["data", "check", "folder", "--data-dir", "tree"]
DECODED = 2560  # MiB: the largest image that is read takes 512 MiB, and some steps copy it


def images(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A small tree in which one to four images are hostile."""
    shutil.copytree(corpus.tree, box.work / "tree")
    paths = sorted((box.work / "tree").rglob("*.png"))
    for path in rng.sample(paths, rng.choice([1, 1, 2, 4])):
        kind, raw = rng.choice(list(corpus.pictures.items()))
        raw = one(rng, kind, raw)
        path.unlink()
        suffix = kind.rpartition(".")[2] if rng.random() < 0.5 else rng.choice(SUFFIXES)
        path.with_suffix("." + {"jpeg2000": "jpg", "tiff": "tif"}.get(suffix, suffix)).write_bytes(
            raw
        )
    check = [*CHECK, "--json"] if rng.random() < 0.7 else CHECK
    commands = [check, [*RUN, "--data-dir", "tree"]] if rng.random() < 0.15 else [check]
    return Case(commands, memory=DECODED)


def one(rng: random.Random, kind: str, raw: bytes) -> bytes:
    """One hostile image."""
    if rng.random() < 0.05:
        return rng.choice(
            [POSTSCRIPT, b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"<svg/>"]
        )
    if rng.random() < 0.1:
        return raw
    if kind.startswith("PNG") and rng.random() < 0.85:
        return png(rng, raw)
    if kind.startswith("JPEG-") and rng.random() < 0.6:
        return jpeg(rng, raw)
    if rng.random() < 0.4:
        at = rng.randrange(min(64, len(raw)))
        return raw[:at] + struct.pack(rng.choice("<>") + "I", rng.choice(SIDES)) + raw[at + 4 :]
    return garbled(rng, raw)


def png(rng: random.Random, raw: bytes) -> bytes:
    """A PNG whose chunks are changed; most of the time with sums that hold."""
    chunks = list(_chunks(raw))
    mended = rng.random() < 0.8
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(chunks))
        name, data = chunks[at]
        match rng.randrange(8):
            case 0 | 1 if any(name == b"IDAT" for name, _ in chunks):
                at = next(number for number, chunk in enumerate(chunks) if chunk[0] == b"IDAT")
                chunks[at] = (b"IDAT", garbled(rng, chunks[at][1], 1))
            case 2:
                pixels = zlib.compress(
                    bytes(rng.choice([0, 1, 255]) for _ in range(rng.choice([1, 3000])))
                )
                chunks = [
                    (b"IDAT", pixels) if name == b"IDAT" else (name, data) for name, data in chunks
                ]
            case 3:
                size = struct.pack(">II", rng.choice(SIDES), rng.choice([*SIDES, 33]))
                depth = bytes(
                    [
                        rng.choice([1, 2, 4, 8, 16, 3]),
                        rng.choice([0, 2, 3, 4, 6, 1]),
                        0,
                        0,
                        rng.choice([0, 1]),
                    ]
                )
                header = rng.choice([size + data[8:], chunks[0][1][:8] + depth, size + depth])
                chunks[0] = (b"IHDR", header)
            case 4:
                chunks[at] = (name, garbled(rng, data))
            case 5:
                del chunks[at]
            case 6:
                chunks.insert(rng.randrange(len(chunks) + 1), (name, data))
            case 7:
                chunks.insert(1, extra_chunk(rng))
        if not chunks:
            break
    return raw[:8] + b"".join(
        _chunk(name, data, mended or rng.random() < 0.5) for name, data in chunks
    )


def extra_chunk(rng: random.Random) -> tuple[bytes, bytes]:
    """Texts and profiles that grow, palettes and transparencies that do not fit."""
    grown = zlib.compress(b"\0" * rng.choice([100, 1 << 20, 60 << 20]))
    return rng.choice(
        [
            (b"zTXt", b"Comment\0\0" + grown),
            (b"iTXt", b"Comment\0\1\0\0\0" + grown),
            (b"iCCP", b"profile\0\0" + grown),
            (b"PLTE", rng.randbytes(rng.choice([0, 3, 7, 768, 900]))),
            (b"tRNS", rng.randbytes(rng.choice([0, 1, 6, 300]))),
            (b"acTL", struct.pack(">II", rng.choice([0, 1, 2**31]), 0)),
            (b"fcTL", rng.randbytes(26)),
            (b"eXIf", rng.randbytes(40)),
            (b"gAMA", b"\0\0\0\0"),
        ]
    )


def _chunks(raw: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at + 8 <= len(raw):
        (size,) = struct.unpack(">I", raw[at : at + 4])
        found.append((raw[at + 4 : at + 8], raw[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _chunk(name: bytes, data: bytes, mended: bool) -> bytes:
    total = zlib.crc32(name + data) if mended else 0
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", total)


def jpeg(rng: random.Random, raw: bytes) -> bytes:
    """A JPEG whose frame header, tables or scan is changed."""
    at = next(
        (n for n in range(2, len(raw) - 9) if raw[n] == 0xFF and raw[n + 1] in (0xC0, 0xC2)), None
    )
    way = rng.random()
    if at is not None and way < 0.35:
        size = struct.pack(
            ">HH", rng.choice([0, 1, 33, 30_000, 65_535]), rng.choice([0, 1, 40, 30_000, 65_500])
        )
        return raw[: at + 5] + size + raw[at + 9 :]
    if at is not None and way < 0.5:
        return raw[: at + 9] + bytes([rng.randrange(256)]) + raw[at + 10 :]
    if way < 0.6:
        return raw[: rng.randrange(2, len(raw))] + rng.choice(
            [b"", b"\xff\xd9", b"\xff\xd8\xff\xe0" + raw[4:]]
        )
    return garbled(rng, raw)


def trees(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A folder of images with links, pipes, odd names and odd places."""
    tree = box.work / "tree"
    shutil.copytree(corpus.tree, tree)
    shutil.copy(tree / "train" / "cats" / "0.png", box.canary / "image.png")
    for _ in range(rng.choice([1, 1, 2])):
        folder = rng.choice(
            [p for p in [tree, *tree.rglob("*")] if p.is_dir() and not p.is_symlink()] or [tree]
        )
        with_odd(rng, box, folder)
    commands = [CHECK, [*CHECK, "--json"], [*RUN, "--data-dir", "tree"]]
    prepare = ["data", "prepare", "folder", "--cache", "--data-dir", "tree", "--yes"]
    return Case([rng.choice([*commands, commands[0], commands[1], prepare])], memory=1536)


NAMES = [
    "x.png",
    "é.png",
    "\udcff.png",
    "a\nb.png",
    "\x1b[2J.png",
    "-x.png",
    " .png",
    "x",
    "cats",
    ".ofa-bench",
]
NAMES += [
    "val",
    "test",
    "Train",
    "x.jfif",
    "x.heic",
    "images.safetensors",
    "images.bin",
    "folder.tar",
    "<b>.png",
]


def with_odd(rng: random.Random, box: Box, folder: Path) -> None:
    """Something odd in a folder."""
    odd = folder / rng.choice(NAMES)
    try:
        match rng.randrange(9):
            case 0:
                odd.symlink_to(
                    rng.choice(
                        [box.canary, box.canary / "folder", Path("/nowhere"), Path(".."), odd]
                    )
                )
            case 1:
                odd.symlink_to(
                    rng.choice(["/dev/zero", "/dev/urandom", "/proc/self/mem", "/dev/stdin"])
                )
            case 2:
                os.mkfifo(odd)
            case 3:
                odd.mkdir()
            case 4:
                odd.write_bytes(rng.choice([b"", b"\0" * 100, POSTSCRIPT, b"\x1f\x8b", b"{}"]))
            case 5:
                shutil.copy(box.canary / "image.png", odd)
            case 6:
                inner = next(path for path in sorted(folder.iterdir()) if path.name != ".ofa-bench")
                inner.rename(odd)
            case 7:
                (box.work / "tree" / ".ofa-bench").symlink_to(
                    rng.choice([box.canary, box.canary / "new"])
                )
            case 8:
                deep = odd
                for _ in range(rng.choice([3, 40])):
                    deep = deep / "deeper"
                deep.mkdir(parents=True)
                shutil.copy(box.canary / "image.png", deep / "x.png")
    except OSError:
        return


KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {"images": images, "trees": trees}
