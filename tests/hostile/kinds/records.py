"""Records, their bits and readings, bundles of them, and the boards that are made of them."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case
from tests.hostile.spelling import garbled, spell_json
from tests.hostile.values import NUMBERS, WORDS, Raw, hostile, mutated

READERS = [["runs"], ["runs", "--json"], ["board", "digits"], ["board", "digits", "--json"]]
READERS += [["report", "digits", "-o", "r.html"], ["board", "digits", "--curve"], ["board"]]
READERS += [["site", "-o", "pages"]]
HEAVY = [
    "seed",
    "task.classes",
    "task.candidates.count",
    "task.candidates.per_bucket",
    "cost.train_macs",
]
HEAVY += [
    "science.evaluate.per_bucket",
    "science.evaluate.buckets",
    "science.budget.epochs",
    "cost.images",
]
HEAVY += [
    "bits.layout.rows",
    "bits.layout.images",
    "task.splits.test.count",
    "task.splits.select.count",
]
HEAVY += [
    "machine.threads",
    "cost.device_seconds",
    "cost.wall_seconds",
    "cost.usd",
    "scores",
    "curve",
]
HEAVY += [
    "run.command",
    "run.finished",
    "run.started",
    "task.notes",
    "task.space.description.depth",
]
HEAVY += [
    "task.space.description",
    "method.name",
    "machine.cpu",
    "error",
    "status",
    "science.method",
]


def results(box: Box, corpus: Corpus) -> list[Path]:
    """The corpus's results in the box; its records."""
    shutil.copytree(corpus.results / "records", box.work / "results" / "records")
    return sorted(box.work.glob("results/records/*/*/*.json"))


def sealed(tree: Any) -> Any:
    """The tree with the seals that its values ask for, where they can be computed."""
    try:
        body = {k: v for k, v in tree.items() if k not in ("seals", "sha256")}
        leaves = dict(_leaves(body))
        tree["seals"] = {
            name: hashlib.sha256(canonical(v)).hexdigest()[:16] for name, v in leaves.items()
        }
        body = {k: v for k, v in tree.items() if k != "sha256"}
        tree["sha256"] = hashlib.sha256(canonical(body)).hexdigest()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return tree
    return tree


def _leaves(body: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in body.items():
        if isinstance(value, dict) and value:
            found += [(f"{name}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list) and value:
            found += [(f"{name}.{place}", item) for place, item in enumerate(value)]
        else:
            found.append((name, value))
    return found


def canonical(value: Any) -> bytes:
    if _raw(value):
        raise ValueError("holds what only text can spell")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _raw(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_raw, value.values()))
    return any(map(_raw, value)) if isinstance(value, list) else isinstance(value, Raw)


def placed(rng: random.Random, tree: dict[str, Any]) -> Any:
    """A hostile value where work or text follows from it."""
    path = rng.choice(HEAVY).split(".")
    inner: Any = tree
    for name in path[:-1]:
        inner = inner.get(name) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        numbers = [10**9, 10**18, 10**400, -1, 0, 1e308, [], {}, None, *map(Raw, NUMBERS)]
        inner[path[-1]] = rng.choice([rng.choice(numbers), rng.choice(WORDS), hostile(rng)])
    return tree


def forged(rng: random.Random, path: Path) -> tuple[Any, bool]:
    """A mutated record, and whether its seals were mended."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    tree = placed(rng, tree) if rng.random() < 0.5 else mutated(rng, tree)
    mended = rng.random() < 0.7
    return (sealed(tree) if mended else tree), mended


def records(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """One record of three is hostile: validated, and all read."""
    paths = results(box, corpus)
    victim = rng.choice(paths)
    before = victim.read_bytes()
    tree, mended = forged(rng, victim if rng.random() < 0.8 else rng.choice(corpus.records))
    raw = spell_json(tree).encode("utf-8", "surrogatepass") + b"\n"
    victim.write_bytes(garbled(rng, raw) if rng.random() < 0.1 else raw)
    changed = not mended and json_of(before) != json_of(victim.read_bytes())
    commands = [["validate", str(victim.relative_to(box.work))], *rng.sample(READERS, 2)]
    return Case(commands, refused=[0] if changed else [], shown=[1, 2])


def json_of(raw: bytes) -> Any:
    """What the bytes hold; themselves where that is nothing."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def bits(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """Bits garbled, the record's hash of them mended or not; readings beside."""
    victim = rng.choice(results(box, corpus))
    beside = victim.with_suffix(".bits")
    raw = garbled(rng, beside.read_bytes())
    changed = raw != beside.read_bytes()
    beside.write_bytes(raw)
    if rng.random() < 0.5:
        tree = json.loads(victim.read_text(encoding="utf-8"))
        tree["bits"]["sha256"] = hashlib.sha256(raw).hexdigest()
        if rng.random() < 0.5:
            tree["bits"]["layout"] = mutated(rng, tree["bits"]["layout"])
        if rng.random() < 0.2:
            tree["bits"]["file"] = rng.choice(WORDS)
        victim.write_text(spell_json(sealed(tree)) + "\n", errors="surrogatepass")
    commands = [["validate", str(victim.relative_to(box.work))], rng.choice(READERS)]
    return Case(commands, refused=[0] if changed else [], shown=[1])


def readings(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """What extras measured: numbers beside a record."""
    victim = rng.choice(results(box, corpus))
    tree = mutated(rng, {"meter": {"norm": 1.5, "cosine": 0.25}, "clock": {"seconds": 3}})
    raw = spell_json(tree).encode("utf-8", "surrogatepass")
    raw = garbled(rng, raw) if rng.random() < 0.3 else raw
    victim.with_suffix(".readings").write_bytes(raw)
    show = ["show", victim.stem]
    return Case([rng.choice([show, [*show, "--json"]]), rng.choice(READERS)], shown=[0, 1])


def boards(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """Odd files in the results folder, in the places of records and boards."""
    victim = rng.choice(results(box, corpus))
    made = box.root.parent / "none"
    folder = rng.choice([victim.parent, victim.parent.parent, box.work / "results" / "boards"])
    folder.mkdir(exist_ok=True)
    odd = folder / rng.choice(
        ["x.json", "digits-toy.json", "x\n.json", "\udcff.json", ".json", "x.bits"]
    )
    match rng.randrange(6):
        case 0:
            odd.symlink_to(rng.choice(["/dev/zero", str(box.canary / "x"), str(made), str(odd)]))
        case 1:
            odd.mkdir()
        case 2:
            __import__("os").mkfifo(odd)
        case 3:
            odd.write_bytes(
                rng.choice([b"", b"\xff\xfe", b"[" * 100_000, b"{}", b"null", b" " * 100])
            )
        case 4:
            shutil.copy(victim, odd)
        case 5:
            odd.write_bytes(garbled(rng, victim.read_bytes()))
    readers = [*READERS, ["validate", "results"], ["board", "--check"], ["show", victim.stem]]
    return Case(rng.sample(readers, 2))


def bundles(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A bundle of records with other members, names, sizes and bytes."""
    with zipfile.ZipFile(corpus.root / "all.zip") as whole:
        members = [(info.filename, whole.read(info)) for info in whole.infolist()]
    for _ in range(rng.choice([0, 1, 1, 2])):
        at = rng.randrange(len(members))
        name, raw = members[at]
        match rng.randrange(7):
            case 0:
                members[at] = (bundled_name(rng, box, name), raw)
            case 1:
                members[at] = (name, garbled(rng, raw))
            case 2:
                members.append((bundled_name(rng, box, name), raw))
            case 3:
                del members[at]
            case 4:
                members.append((name, raw))
            case 5 if name.endswith(".json") and isinstance(json_of(raw), dict):
                tree = json_of(raw)
                tree = placed(rng, tree) if rng.random() < 0.5 else mutated(rng, tree)
                members[at] = (
                    name,
                    spell_json(sealed(tree)).encode("utf-8", "surrogatepass") + b"\n",
                )
            case _:
                bomb = rng.choice([b" ", b"[", b"\0"]) * (60 << 20)
                members.append((bundled_name(rng, box, name), bomb))
        members = members or [(name, raw)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    ) as bundle:
        for name, raw in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = rng.choice([0, 0, 0o120777 << 16, 0o010644 << 16])
            bundle.writestr(info, raw, zipfile.ZIP_DEFLATED)
    raw = buffer.getvalue()
    (box.work / "b.zip").write_bytes(garbled(rng, raw) if rng.random() < 0.3 else raw)
    commands = [["records", "import", "b.zip"], ["records", "import", "b.zip", "--json"], ["runs"]]
    return Case(commands, shown=[2])


def bundled_name(rng: random.Random, box: Box, name: str) -> str:
    """A member's name that is no record's."""
    canary = str(box.canary)
    ways = [
        f"{canary}/x.json",
        f"{canary}/folder/y.json",
        f"//{canary}/y.json",
        "/a/b.json",
        "../../canary/x",
    ]
    ways += [
        "a/../../../canary/x.json",
        name.upper(),
        name + "/",
        "a/b/c/d.json",
        "x.json",
        "digits/deps/.json",
    ]
    ways += [
        "C:\\a\\b.json",
        "digits\\deps\\x.json",
        "digits/deps/" + "a" * 300 + ".json",
        "a/b/\x1b[2J.json",
    ]
    return rng.choice(
        [*ways, f"digits/{rng.choice(WORDS[:70])}/x.json", name.replace("deps", "ofa")]
    )


KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {
    "records": records,
    "bits": bits,
    "readings": readings,
    "boards": boards,
    "bundles": bundles,
}
