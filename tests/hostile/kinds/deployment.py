"""Around runs: ground truth, searches and their scores, latency tables, exports, launches."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.corpus import LAUNCH, Corpus
from tests.hostile.execution import Case
from tests.hostile.kinds.data import tensors
from tests.hostile.kinds.records import canonical, json_of, sealed
from tests.hostile.kinds.texts import table_file
from tests.hostile.spelling import garbled, spell_json
from tests.hostile.values import NUMBERS, WORDS, Raw, hostile, mutated

QUESTION = ("run", "weights", "data", "fingerprint", "recipe", "seeds")  # of a truth
TRUTHS = [["board", "--truth"], ["board", "--truth", "--json"], ["board", "digits", "--truth"]]
TRUTHS += [["board", "--truth", "--format", "md"], ["report", "-o", "r.html"]]
TRUTHS += [["validate", "results"], ["site", "-o", "pages"]]
HEAVY = ["nets", "seeds", "proxies", "ranges", "rankings", "left_out", "images.test", "classes"]
HEAVY += ["searched", "searched.stages", "table", "run", "method", "dataset", "space", "budget"]
HEAVY += ["ceiling", "schema", "command", "nets.0.alone", "nets.0.macs", "nets.0.subnet.resolution"]
HEAVY += ["nets.1.alone.0.status", "nets.1.alone.0.top1_test", "nets.1.name", "proxies.synflow"]
HEAVY += ["nets.2.alone.0.record", "nets.2.alone.1.run", "rankings.0.name", "rankings.0.regret"]


def digested(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def placed(rng: random.Random, tree: dict[str, Any]) -> Any:
    """A hostile value where work or text follows from it."""
    *parents, last = rng.choice(HEAVY).split(".")
    inner: Any = tree
    for name in parents:
        if isinstance(inner, list):
            inner = inner[int(name)] if int(name) < len(inner) else None
        else:
            inner = inner.get(name) if isinstance(inner, dict) else None
    if isinstance(inner, dict):
        numbers = [10**9, 10**18, 10**400, -1, 0, 1e308, [], {}, None, *map(Raw, NUMBERS)]
        value = rng.choice([rng.choice(numbers), rng.choice(WORDS), hostile(rng)])
        if isinstance(inner.get(last), list) and rng.random() < 0.4:
            value = inner[last] * rng.choice([2, 40, 400])
        inner[last] = value
    return tree


def resealed(tree: Any) -> Any:
    """The truth with the question and the hash that its values ask for, where they can be had."""
    try:
        nets = [net["subnet"] for net in tree["nets"]]
        tree["question"] = digested([*(tree[name] for name in QUESTION), nets])
        tree["sha256"] = digested({k: v for k, v in tree.items() if k != "sha256"})
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return tree
    return tree


def truths(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A file of ground truth, or a record that it stands on, is hostile: validated and shown."""
    results = box.work / "results"
    shutil.copytree(corpus.truth, results)
    (path,) = results.glob("truth/*/*.json")
    truth = victim = path
    if rng.random() < 0.25:
        victim = rng.choice(sorted(results.glob("records/*/*/*.json")))
    before = victim.read_bytes()
    tree = json.loads(before)
    tree = placed(rng, tree) if victim is truth and rng.random() < 0.6 else mutated(rng, tree)
    mended = rng.random() < 0.7
    if mended:
        tree = resealed(tree) if victim is truth else sealed(tree)
    raw = spell_json(tree).encode("utf-8", "surrogatepass") + b"\n"
    victim.write_bytes(garbled(rng, raw) if rng.random() < 0.1 else raw)
    changed = not mended and json_of(before) != json_of(victim.read_bytes())
    if victim is truth and mended and isinstance(tree, dict):
        path = renamed(path, tree.get("question"))
    if rng.random() < 0.2:
        others = [path, *results.glob("records/*/*/*.json")]
        shutil.copy(rng.choice(others), path.with_name("b.json"))
    commands = [["validate", str(path.relative_to(box.work))], *rng.sample(TRUTHS, 2)]
    # A report needs a record that stands on a board, which is the supernet's alone.
    always = ("board", "report") if victim is truth else ("board",)
    shown = [number for number, words in enumerate(commands) if words[0] in always]
    return Case(commands, refused=[0] if changed and victim is truth else [], shown=shown)


def renamed(path: Path, question: Any) -> Path:
    """The file by its question, so that its name is no finding."""
    if not isinstance(question, str) or not question.isalnum():
        return path
    return path.rename(path.with_name(f"{question[:16]}.json"))


def searches(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A search's answer or the scores it keeps, changed; then read by what goes on from them."""
    folder = finished(box, corpus)
    (answer,) = (box.work / "results").glob("searches/*/*.json")
    (scores,) = (box.work / "results").glob("searches/*/scores/*.json")
    victim = rng.choice([answer, answer, scores])
    tree = json.loads(victim.read_bytes())
    tree = mutated(rng, tree)
    if rng.random() < 0.6:
        try:
            tree["sha256"] = digested({k: v for k, v in tree.items() if k != "sha256"})
        except (ValueError, TypeError, AttributeError, RecursionError):
            tree = tree if isinstance(tree, dict) else {}
        if victim is scores and isinstance(tree, dict):
            tree.pop("sha256", None)
    raw = spell_json(tree).encode("utf-8", "surrogatepass") + b"\n"
    victim.write_bytes(garbled(rng, raw) if rng.random() < 0.2 else raw)
    search = ["search", folder.name, "--macs", "3M", "--evaluations", "4", "--searcher", "random"]
    ways = [["validate", str(answer.relative_to(box.work))], ["validate", "results"]]
    ways += [[*search, "--json"], ["evaluate", folder.name, "--subnet", "best@3M"]]
    return Case(rng.sample(ways, 2), memory=2048)


def finished(box: Box, corpus: Corpus) -> Path:
    """The finished run with its search in the box; its folder."""
    shutil.copytree(corpus.root / "searched" / "work" / "results", box.work / "results")
    (folder,) = (path for path in (box.work / "results" / "runs").iterdir() if path.is_dir())
    return folder


def latencies(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """A latency table: checked, searched with, and a board's axis."""
    run = finished(box, corpus).name
    tree = tomllib.loads((corpus.root / "latency.toml").read_text(encoding="utf-8"))
    table_file(rng, box.work / "t.toml", tree, changed=rng.random() < 0.9)
    board = ["board", "digits", "--cost", "latency", "--table", "t.toml"]
    check = ["latency", "check", "t.toml", run]
    return Case([[*words, *rng.choice([[], ["--json"]])] for words in (check, board)])


def models(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """An exported folder, which is read before it would be sent: nothing is sent from here."""
    folder = box.work / "out"
    shutil.copytree(corpus.root / "searched" / "work" / "out", folder)
    path = folder / "model.json"
    if rng.random() < 0.7:
        tree = mutated(rng, json.loads(path.read_bytes()))
        raw = spell_json(tree).encode("utf-8", "surrogatepass") + b"\n"
        path.write_bytes(garbled(rng, raw) if rng.random() < 0.2 else raw)
    else:
        victim = rng.choice(sorted(folder.glob("*.safetensors")))
        victim.write_bytes(tensors(rng, victim.read_bytes()))
    if rng.random() < 0.2:
        (folder / rng.choice(["x", "config.json", "a\n"])).symlink_to(box.canary / "x")
    return Case([["publish", "out", "hf:me/net", *rng.choice([[], ["--json"]])]], refused=[0])


def launches(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """What a launch left: its batch, a task's answer, or something else by their names; then the
    same line again, which hands over what is missing."""
    shutil.copytree(corpus.root / "launched" / "work" / "results", box.work / "results")
    if rng.random() < 0.5:
        shutil.copytree(corpus.results / "records", box.work / "results" / "records")
    folder = box.work / "results" / "runs" / "launches"
    (batch,) = folder.glob("ofa-bench-*.json")
    tree = json.loads(batch.read_bytes())
    task = rng.choice(tree["tasks"])
    victim, tree = rng.choice([(batch, tree), (folder / f"{task['key']}.json", answer(rng, task))])
    raw = spell_json(mutated(rng, tree)).encode("utf-8", "surrogatepass") + b"\n"
    victim.write_bytes(garbled(rng, raw) if rng.random() < 0.2 else raw * rng.choice([1, 1, 2]))
    if rng.random() < 0.15:
        victim.unlink()
        victim.symlink_to(rng.choice(["/dev/zero", str(box.canary / "x"), str(victim)]))
    return Case([LAUNCH, ["runs"]])


def answer(rng: random.Random, task: dict[str, Any]) -> dict[str, Any]:
    """What a task prints at its end, or in its place where it fails."""
    run = rng.choice(["deps-digits-toy-s0-0000000000", *WORDS[:70]])
    error = rng.choice([None, None, *WORDS[:70]])
    runs = [{"key": key, "run": run, "error": error} for key in task["runs"]]
    return rng.choice([{"runs": runs}, {"error": error or "no disk", "exit": rng.choice([1, 2])}])


KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {
    "truths": truths,
    "searches": searches,
    "latencies": latencies,
    "models": models,
    "launches": launches,
}
