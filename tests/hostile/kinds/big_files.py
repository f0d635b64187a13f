"""Images inside shards and parquet files whose bytes, labels or descriptions are another's."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case
from tests.hostile.kinds.data import cut
from tests.hostile.kinds.images import RUN
from tests.hostile.spelling import garbled, spell_json
from tests.hostile.values import WORDS, hostile, mutated

LABELS = [b"", b"-1", b"2", b"9" * 19, b"9" * 20, b"0" * 500, b"0.5", b"\xd9\xa1", b"0\n1", b"x"]


def _pictures(corpus: Corpus, split: str) -> list[tuple[int, Path]]:
    classes = sorted((corpus.tree / split).iterdir())
    return [(label, path) for label, home in enumerate(classes) for path in sorted(home.iterdir())]


def shards(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """Shards with hostile keys, labels and members, or with bytes that are no archive."""
    folder = box.work / "data"
    folder.mkdir()
    target = rng.choice(["train", "test"])
    for split in ("train", "test"):
        raw = _shard(rng, _pictures(corpus, split), split == target)
        if split == target and rng.random() < 0.4:
            raw = garbled(rng, raw) if rng.random() < 0.5 else cut(rng, raw)
        (folder / f"a-{split}-000000.tar").write_bytes(raw)
    if rng.random() < 0.3:
        names = [b"a\nb\n", b"", b"\0" * 99, b"a\na\n", b"x\n" * 100_000, b"\xff\n\x1b[31m\n"]
        (folder / "classes.txt").write_bytes(rng.choice(names))
    check = ["data", "check", "folder", "--data-dir", "data"]
    pack = ["data", "prepare", "folder", "--pack", "--yes", "--to", "to", "--data-dir", "data"]
    return Case([[*check, *rng.choice([[], ["--json"]])], rng.choice([check, pack])], memory=1536)


def _shard(rng: random.Random, pictures: list[tuple[int, Path]], changed: bool) -> bytes:
    buffer = io.BytesIO()
    form = rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    members = [
        member
        for number, (label, path) in enumerate(pictures)
        for member in (
            (f"{number}{path.suffix}", path.read_bytes()),
            (f"{number}.cls", b"%d" % label),
        )
    ]
    for _ in range(rng.choice([0, 1, 1, 2]) if changed else 0):
        at = rng.randrange(len(members))
        name, raw = members[at]
        match rng.randrange(4):
            case 0:
                names = [
                    "../../canary/x.png",
                    "/x.cls",
                    "0.cls",
                    "0.png",
                    "x." * 400,
                    ".cls",
                    *WORDS,
                ]
                members.insert(at, (rng.choice(names), rng.choice([raw, *LABELS])))
            case 1:
                members[at] = (name, rng.choice(LABELS))
            case 2:
                members[at] = (name, garbled(rng, raw))
            case 3:
                del members[at]
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as tar:
        for name, raw in members:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            if changed and rng.random() < 0.02:
                info.type = rng.choice([tarfile.SYMTYPE, tarfile.GNUTYPE_SPARSE, tarfile.FIFOTYPE])
                info.linkname = "/dev/zero"
            try:
                tar.addfile(info, io.BytesIO(raw))
            except (ValueError, UnicodeError):
                continue  # what this format cannot hold
    return buffer.getvalue()


def tables(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """Parquet files whose bytes, metadata, labels or columns are another's."""
    folder = box.work / "data"
    folder.mkdir()
    target = rng.choice(["train", "test"])
    for split in ("train", "test"):
        raw = _table(rng, _pictures(corpus, split), split == target)
        if split == target and rng.random() < 0.6:
            raw = _described(rng, raw) if rng.random() < 0.6 else garbled(rng, raw)
        (folder / f"{split}-00000-of-00001.parquet").write_bytes(raw)
    check = ["data", "check", "folder", "--data-dir", "data"]
    run = [*RUN, "--data-dir", "data"]
    commands = [[*check, *rng.choice([[], ["--json"]])]]
    return Case(commands + ([run] if rng.random() < 0.1 else []), memory=1 << 12)


def _described(rng: random.Random, raw: bytes) -> bytes:
    """Bytes of the description at the end are changed; its length stays."""
    size = int.from_bytes(raw[-8:-4], "little")
    footer = bytearray(raw[-8 - size : -8])
    for _ in range(rng.choice([1, 1, 2, 4])):
        footer[rng.randrange(len(footer))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return raw[: -8 - size] + bytes(footer) + raw[-8:]


def _table(rng: random.Random, pictures: list[tuple[int, Path]], changed: bool) -> bytes:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    names: Any = ["a", "b"]
    images: list[Any] = [{"bytes": p.read_bytes(), "path": p.name} for _, p in pictures]
    labels: list[Any] = [label for label, _ in pictures]
    if changed and rng.random() < 0.5:
        at = rng.randrange(len(labels))
        labels[at] = rng.choice([None, -1, -(2**63), 2**63 - 1, 2])
        images[rng.randrange(len(images))] = rng.choice(
            [None, {"bytes": None, "path": "x"}, {"bytes": b"", "path": rng.choice(WORDS)}]
        )
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    tree: Any = {"info": {"features": features}}
    if changed and rng.random() < 0.5:
        tree = mutated(rng, tree) if rng.random() < 0.7 else hostile(rng)
    text = spell_json(tree).encode("utf-8", "surrogatepass") if changed else json.dumps(tree)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    try:
        image = pa.array(images, kind)
    except UnicodeError:
        image = pa.array([{"bytes": b"x", "path": None}] * len(labels), kind)
    schema = pa.schema([("image", kind), ("label", pa.int64())], {"huggingface": text})
    table = pa.Table.from_arrays([image, pa.array(labels, pa.int64())], schema=schema)
    buffer = io.BytesIO()
    squeezed = rng.choice(["none", "snappy", "gzip", "zstd"])
    write_table(table, buffer, row_group_size=rng.choice([1, 3, 100]), compression=squeezed)
    return buffer.getvalue()


KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {
    "shards": shards,
    "tables": tables,
}
