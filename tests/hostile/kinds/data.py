"""Archives, file hashes that came with the data, and folders of pixels."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case
from tests.hostile.kinds.images import RUN
from tests.hostile.spelling import garbled, spell_json
from tests.hostile.values import WORDS, hostile, mutated

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".tar": lambda raw: raw,
    ".tar.gz": gzip.compress,
    ".tgz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def archives(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """An archive of a tree with members that are no images, or with bytes that are no archive."""
    folder = box.work / "data"
    folder.mkdir()
    suffix = rng.choice(list(PACK))
    if rng.random() < 0.3:
        name = rng.choice([".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
        raw = garbled(rng, (corpus.root / f"folder{name}").read_bytes())
        (folder / f"folder{name}").write_bytes(raw)
    else:
        raw = tarred(rng, box, corpus)
        if rng.random() < 0.15:
            raw = cut(rng, raw)
        (folder / f"folder{suffix}").write_bytes(PACK[suffix](raw))
    check = ["data", "check", "folder", "--data-dir", "data"]
    return Case([[*check, *rng.choice([[], ["--json"]])], check], memory=1536)


def cut(rng: random.Random, raw: bytes) -> bytes:
    """The archive's end is lost, or some of its blocks are changed, sums mended or not."""
    if rng.random() < 0.5:
        return raw[: 512 * rng.randrange(1, len(raw) // 512)]
    blocks = bytearray(raw)
    at = 512 * rng.randrange(len(raw) // 512)
    blocks[at : at + 512] = garbled(rng, bytes(blocks[at : at + 512])).ljust(512, b"\0")[:512]
    field = bytes(blocks[at : at + 148]) + b" " * 8 + bytes(blocks[at + 156 : at + 512])
    blocks[at + 148 : at + 156] = b"%06o\0 " % sum(field)
    return bytes(blocks)


def tarred(rng: random.Random, box: Box, corpus: Corpus) -> bytes:
    """A tar of the tree and one to three hostile members."""
    buffer = io.BytesIO()
    form = rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as archive:
        early = rng.random() < 0.5
        if early:
            _tree(archive, corpus)
        for _ in range(rng.choice([1, 1, 2, 3])):
            try:
                _hostile(rng, archive, box)
            except (ValueError, UnicodeError, OverflowError):
                continue  # what this format cannot hold
        if not early:
            _tree(archive, corpus)
    return buffer.getvalue()


def _tree(archive: tarfile.TarFile, corpus: Corpus) -> None:
    for split in ("train", "test"):
        archive.add(corpus.tree / split, split)


def _hostile(rng: random.Random, archive: tarfile.TarFile, box: Box) -> None:
    outside = [
        str(box.canary),
        f"{box.canary}/new",
        f"{box.canary}/x",
        "../../canary",
        "../" * 9,
        "/",
    ]
    if rng.random() < 0.2:
        _chained(archive, box)
        return
    inside = [
        "train/cats/0.png",
        "train/cats/x.png",
        "train/x/0.png",
        "train",
        "x.png",
        "train/l/x.png",
    ]
    name = rng.choice(
        [*inside, *outside, *(f"train/cats/{word}" for word in WORDS[:60]), *WORDS[:60], "a/" * 200]
    )
    member = tarfile.TarInfo(name)
    kinds = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
    kinds += [tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"Z"]
    member.type = rng.choice(kinds)
    member.mode = rng.choice([0o644, 0o000, 0o4777, 0o777])
    if member.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        member.linkname = rng.choice([*outside, *inside, "", name, "/dev/zero", "x" * 5000])
    data = rng.choice(
        [b"", b"hostile\n", b"\0" * (1 << 20), b"\0" * (80 << 20) if rng.random() < 0.2 else b"x"]
    )
    if rng.random() < 0.2:
        keys = [
            "path",
            "linkpath",
            "size",
            "GNU.sparse.map",
            "GNU.sparse.size",
            "GNU.sparse.realsize",
            "comment",
        ]
        member.pax_headers = {
            rng.choice(keys): rng.choice([*outside, "9" * 30, "-1", "nan", "1,2", "x" * 100_000])
        }
    member.size = len(data)
    if rng.random() < 0.1:
        member.size = rng.choice([2**33, 2**40, 2**62])
        archive.addfile(member)
        return
    archive.addfile(member, io.BytesIO(data))


def _chained(archive: tarfile.TarFile, box: Box) -> None:
    """Links that each hold, and together lead outside: the layout of CVE-2025-4517."""
    step, path = "d" * 247, ""
    for letter in "abcdefghijklmnop":
        folder = tarfile.TarInfo(f"{path}{step}")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo(f"{path}{letter}")
        link.type, link.linkname = tarfile.SYMTYPE, step
        archive.addfile(link)
        path += f"{step}/"
    short = "/".join("abcdefghijklmnop")
    link = tarfile.TarInfo(f"{short}/{'l' * 254}")
    link.type, link.linkname = tarfile.SYMTYPE, "../" * 16
    archive.addfile(link)
    way = tarfile.TarInfo("escape")
    way.type, way.linkname = tarfile.SYMTYPE, f"{short}/{'l' * 254}/../../../../canary"
    archive.addfile(way)
    for name in ("escape/x", "escape/new"):
        member = tarfile.TarInfo(name)
        member.size = 8
        archive.addfile(member, io.BytesIO(b"hostile\n"))


def manifests(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """The hashes kept beside the data, changed by whoever sent it."""
    shutil.copytree(corpus.root / "caching" / "work" / "tree", box.work / "tree")
    kept = sorted((box.work / "tree" / ".ofa-bench").glob("*.json"))
    for path in kept:
        tree: Any = json.loads(path.read_bytes())
        if isinstance(tree, dict) and isinstance(tree.get("files"), dict) and rng.random() < 0.6:
            name = rng.choice(list(tree["files"]))
            row = tree["files"][name]
            tree["files"][name] = mutated(rng, row) if rng.random() < 0.7 else hostile(rng)
        else:
            tree = mutated(rng, tree)
        raw = spell_json(tree).encode("utf-8", "surrogatepass")
        path.write_bytes(garbled(rng, raw) if rng.random() < 0.3 else raw)
    check = ["data", "check", "folder", "--data-dir", "tree"]
    commands = [[*check, "--json"]] + ([[*RUN, "--data-dir", "tree"]] if rng.random() < 0.2 else [])
    return Case(commands, shown=[0])


def caches(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A folder of pixels: its index, its pixels or both are another's."""
    shutil.copytree(corpus.root / "caching" / "work" / "pixels", box.work / "pixels")
    index, pixels = box.work / "pixels" / "images.safetensors", box.work / "pixels" / "images.bin"
    match rng.randrange(4):
        case 0:
            index.write_bytes(garbled(rng, index.read_bytes()))
        case 1:
            pixels.write_bytes(garbled(rng, pixels.read_bytes()))
        case 2:
            index.write_bytes(tensors(rng, index.read_bytes()))
        case 3:
            _replaced(rng, rng.choice([index, pixels]), box)
    check = ["data", "check", "folder", "--data-dir", "pixels"]
    commands = [[*check, "--json"]] + (
        [[*RUN, "--data-dir", "pixels"]] if rng.random() < 0.3 else []
    )
    return Case(commands)


def _replaced(rng: random.Random, path: Path, box: Box) -> None:
    path.unlink()
    match rng.randrange(4):
        case 0:
            __import__("os").mkfifo(path)
        case 1:
            path.symlink_to(rng.choice(["/dev/zero", "/dev/null", str(box.canary / "x")]))
        case 2:
            path.mkdir()
        case 3:
            path.write_bytes(b"")


def tensors(rng: random.Random, raw: bytes) -> bytes:
    """A safetensors file whose header is changed, its length mended or not."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    names = [name for name in header if name != "__metadata__"]
    if names and rng.random() < 0.6:
        entry = header[rng.choice(names)]
        match rng.randrange(4):
            case 0:
                kinds = ["F64", "F32", "F16", "BF16", "I8", "BOOL", "F8_E4M3", "U64", "C64", "x"]
                entry["dtype"] = rng.choice(kinds)
            case 1:
                entry["shape"] = rng.choice(
                    [[], [0], [2**62], [-1], [2**32, 2**32], entry["shape"][::-1], "x"]
                )
            case 2:
                entry["data_offsets"] = rng.choice([[0, 0], [0, 2**63], [8, 0], [-1, 1], "x", [0]])
            case 3:
                header[rng.choice(WORDS[:60])] = entry
    elif "__metadata__" in header and rng.random() < 0.7:
        told = header["__metadata__"]
        key = rng.choice(list(told))
        try:
            told[key] = spell_json(mutated(rng, json.loads(told[key])))
        except ValueError:
            told[key] = spell_json(hostile(rng))
    else:
        header = mutated(rng, header)
    text = spell_json(header).encode("utf-8", "surrogatepass")
    length = len(text) if rng.random() < 0.9 else rng.choice([0, 1, 2**40, 2**63, 2**64 - 1])
    return length.to_bytes(8, "little") + text + raw[8 + size :]


KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {
    "archives": archives,
    "manifests": manifests,
    "caches": caches,
}
