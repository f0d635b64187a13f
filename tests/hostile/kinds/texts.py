"""Recipes, settings, spaces, comparisons and the words of a command line."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.corpus import ROOT, Corpus
from tests.hostile.execution import Case
from tests.hostile.spelling import garbled, spell_toml
from tests.hostile.values import NUMBERS, TOML, WORDS, Raw, hostile, mutated

PATHS = ["net.dropout", "net.init", "data.select", "augment.kind", "augment.jitter", "lr.ramp"]
PATHS += [
    "augment.erasing",
    "optim.name",
    "optim.lr",
    "optim.batch",
    "optim.norm_batch",
    "lr.floor",
]
PATHS += ["optim.lr_batch", "optim.warmup", "optim.weight_decay", "optim.clip", "optim.momentum"]
PATHS += ["optim.rms_eps", "budget.epochs", "budget.scale", "budget.factor", "evaluate.per_bucket"]
PATHS += ["evaluate.buckets", "evaluate.chunk", "evaluate.curve", "shrink.start", "shrink.sampled"]
PATHS += [
    "shrink.delayed.start",
    "lr.ahead",
    "lr.least",
    "distill.temperature",
    "precision",
    "seed",
]
PATHS += ["space", "method", "dataset", "results"]
METHODS = ["ofa", "compofa", "bignas", "bignas-port", "deps"]


@cache
def tables(folder: str) -> list[dict[str, Any]]:
    """The shipped TOML files of a folder below specs/."""
    paths = sorted((ROOT / "specs" / folder).rglob("*.toml"))
    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in paths]


def table_file(rng: random.Random, path: Path, tree: dict[str, Any], changed: bool = True) -> None:
    """A table, mutated or as it is; sometimes its bytes are garbled too."""
    tree = mutated(rng, tree, "toml") if changed else tree
    tree = tree if isinstance(tree, dict) else {"a": tree}
    raw = spell_toml(tree).encode("utf-8", "surrogatepass")
    path.write_bytes(garbled(rng, raw) if rng.random() < 0.1 else raw)


LIKELY = [0, 1, 2, 3, 8, 64, 1000, 10**6, 10**9, 10**18, -1, 0.0, 0.5, 0.999, 1.0, 1e-9, 1e9, 1e300]
LIKELY += ["1/3", "0", "2 epochs", "100 steps", "1e9 epochs", "none", True, False]


def likely(rng: random.Random) -> Any:
    """A value that may well pass the first look."""
    return rng.choice(LIKELY) if rng.random() < 0.75 else hostile(rng, "toml")


def recipes(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A recipe file, planned with each method."""
    tree: dict[str, Any] = {k: v for k, v in rng.choice(tables("recipes")).items() if k != "like"}
    aimed = rng.random() < 0.65
    for _ in range(rng.choice([1, 1, 2]) if aimed else 0):
        section, _, key = rng.choice(PATHS[:-5]).partition(".")
        values = tree.get(section)
        values = dict(values) if isinstance(values, dict) else {}
        tree[section] = {**values, key.rpartition(".")[2]: likely(rng)} if key else likely(rng)
    table_file(rng, box.work / "r.toml", tree, changed=not aimed)
    words = ["plan", "--recipe", "r.toml", "--method", rng.choice(METHODS)]
    more = [[], ["--json"], ["--steps", "0,1"], ["--dataset", "cifar10"], ["--space", "toy"]]
    return Case([[*words, *rng.choice(more)]])


def settings(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """`--set` and the options that take numbers."""
    words = ["plan", "--method", rng.choice(METHODS)]
    for _ in range(rng.choice([1, 1, 2, 3])):
        odd = rng.choice([*WORDS, *NUMBERS, *TOML])
        value = str(rng.choice(LIKELY)).lower() if rng.random() < 0.7 else odd
        words += ["--set", f"{rng.choice([*PATHS[:-5], *PATHS, rng.choice(WORDS)])}={value}"]
    if rng.random() < 0.25:
        option = rng.choice(
            ["--epochs", "--scale", "--seed", "--steps", "--devices", "--workers", "--space"]
        )
        words += [
            option,
            rng.choice(
                [*WORDS, *NUMBERS, "1e300", "1e-300", "1e9", "2000000000", "0,1,99999999999"]
            ),
        ]
    return Case([[*words, *rng.choice([[], ["--json"]])]])


def spaces(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A space's table, shown, counted and planned with."""
    tree = rng.choice(tables("spaces"))
    aimed = rng.random() < 0.6
    if aimed:
        numbers = [0, -1, 1, 3, 10**6, 10**9, 10**18, 1e300, 0.5, True, "a", [], [10**9], [0]]
        numbers += [Raw("1e400"), Raw("nan"), Raw("9" * 4301), list(range(1, 2000)), [7] * 3000]
        section = rng.choice(["", "stages", "head", "stem"])
        inner = tree.get(section) if section else tree
        inner = inner if isinstance(inner, dict) else {}
        names = [
            *inner,
            "depth",
            "width",
            "expand",
            "kernel",
            "resolution",
            "width_mult",
            "stride",
            "base",
        ]
        key, value = rng.choice(names), rng.choice(numbers)
        if isinstance(inner.get(key), list) and rng.random() < 0.6:
            value = [*inner[key][:-1], value]
        tree = {**tree, section: {**inner, key: value}} if section else {**tree, key: value}
    table_file(rng, box.work / "mine.toml", tree, changed=not aimed)
    ways = [
        ["space", "show", "./mine.toml"],
        ["space", "show", "./mine.toml", "--json"],
        ["space", "macs", "./mine.toml", "--subnet", rng.choice(["largest", "smallest", "k3e3d2"])],
        ["plan", "--method", rng.choice(METHODS), "--space", "./mine.toml"],
    ]
    return Case(rng.sample(ways, 2))


COMPARED: dict[str, list[Any]] = {
    "seeds": [1, 3, 10**4, 10**9, "0,1", "0,0", "2000000000", [0, 1], "1,"],
    "epochs": [0.05, 0.01, 1e-9, 0.2, 99_999],
    "scale": [1e-9, 1e-4, 1.0],
    "methods": [["deps"], "deps,ofa", ["deps", "deps"], ["nobody"]],
    "with": ["meter", ["meter"], "nobody"],
    "set": [["optim.lr=1e300"], ["optim.lr=1e9"], {"optim": {"lr": 0.5}}, ["optim.batch=1"]],
    "device": ["cpu", "cuda:99", "meta"],
    "devices": ["cpu", "cpu,cpu"],
    "curve": [True, "yes"],
}


def comparisons(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A comparison's file; one that holds begins to train and is stopped."""
    small = ["evaluate.per_bucket=1", "evaluate.curve=0"]
    tree = rng.choice([*tables("comparisons"), {"methods": ["deps", "ofa"], "seeds": 1}])
    tree = {
        **tree,
        "epochs": 0.05,
        "space": "toy",
        "set": small,
        "seeds": rng.choice([1, 2, "0,1"]),
    }
    aimed = rng.random() < 0.7
    if aimed:
        key = rng.choice(list(COMPARED))
        tree[key] = rng.choice([*COMPARED[key], likely(rng)])
    if aimed and rng.random() < 0.2:
        paths = ["../canary/evil.py", str(box.canary / "evil.py"), "evil.py", str(box.canary)]
        tree[rng.choice(["plugin", "results", "init"])] = rng.choice([*paths, paths[:1]])
    (box.canary / "evil.py").write_text(EVIL.format(canary=box.canary))
    (box.work / "evil.py").write_text(EVIL.format(canary=box.canary))
    table_file(rng, box.work / "c.toml", tree, changed=not aimed)
    return Case([["compare", "c.toml", *rng.choice([[], ["--json"]])]], polite=2.0, memory=2048)


EVIL = "open({canary!r} + '/executed-plugin', 'w').close()\n".replace("{canary!r}", "'{canary}'")


def words(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """Any command with odd words."""
    frozen = (ROOT / "tests" / "repo_rules" / "cli.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.split()[1:] for line in frozen if not line.startswith(NEVER)]
    line = rng.choice([line for line in lines if line])
    command = [word for word in line if not word.startswith("-")][:2]
    command = [word for word in command if word.isalpha() and word.islower() and word not in LAST]
    options = [other for other in lines if other[: len(command)] == command]
    said = list(command)
    for _ in range(rng.choice([0, 1, 2, 4])):
        flag = next((w for w in rng.choice(options or [[]]) if w.startswith("--")), None)
        if flag and "results" not in flag and "output" not in flag:
            said.append(flag.split("/")[-1])
        if rng.random() < 0.7:
            said.append(
                rng.choice([*WORDS[:80], *NUMBERS, json.dumps(json.dumps([1])), "deps", "digits"])
            )
    return Case([said])


NEVER = ("ofa-bench run", "ofa-bench compare", "ofa-bench ablate", "ofa-bench plugin check")
NEVER += ("ofa-bench plugin new", "ofa-bench search", "ofa-bench truth", "ofa-bench finetune")
LAST = ("repeatable", "required", "which", "record", "records", "name", "file", "method", "kind")
KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {
    "recipes": recipes,
    "settings": settings,
    "spaces": spaces,
    "comparisons": comparisons,
    "words": words,
}
