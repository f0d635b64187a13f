"""Run folders: what was asked, what happened, checkpoints, and weights to start from."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.corpus import TINY, Corpus
from tests.hostile.execution import Case
from tests.hostile.kinds.data import tensors
from tests.hostile.kinds.texts import EVIL
from tests.hostile.spelling import garbled, spell_json
from tests.hostile.values import WORDS, hostile, mutated


def begun(box: Box, corpus: Corpus) -> Path:
    """The interrupted run in the box; its folder."""
    shutil.copytree(corpus.root / "interrupted" / "work" / "results", box.work / "results")
    (folder,) = [
        path for path in (box.work / "results" / "runs").iterdir() if (path / "run.json").is_file()
    ]
    return folder


def folders(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """`run.json` or `events.jsonl` of a begun run, changed; then resumed."""
    folder = begun(box, corpus)
    for place in (box.canary, box.work, folder):
        (place / "evil.py").write_text(EVIL.format(canary=box.canary))
    if rng.random() < 0.65:
        path = folder / "run.json"
        tree = json.loads(path.read_text(encoding="utf-8"))
        tree = asked(rng, box, tree) if rng.random() < 0.5 else mutated(rng, tree)
        raw = spell_json(tree).encode("utf-8", "surrogatepass")
        path.write_bytes(garbled(rng, raw) if rng.random() < 0.15 else raw)
    else:
        path = folder / "events.jsonl"
        lines = [spell_json(event(rng, json.loads(line))).replace("\n", "") for line in path.open()]
        raw = "\n".join(lines).encode("utf-8", "surrogatepass")
        path.write_bytes(garbled(rng, raw) if rng.random() < 0.3 else raw)
    resume = ["resume", folder.name, "--json"]
    return Case(
        [
            resume,
            ["runs"],
            *([["evaluate", folder.name, "--subnet", "smallest"]] * rng.randrange(2)),
        ]
    )


def asked(rng: random.Random, box: Box, tree: dict[str, Any]) -> dict[str, Any]:
    """A request that names what is not the run's to name."""
    canary, evil = str(box.canary), str(box.canary / "evil.py")
    keys: dict[str, Any] = {
        "plugins": rng.choice(
            [[evil], ["evil.py"], ["../../../evil.py"], evil, [f"{canary}/nowhere.py"]]
        ),
        "results": rng.choice([canary, f"{canary}/new", "../canary"]),
        "data_dir": canary,
        "init": rng.choice([f"{canary}/x", "/dev/zero", "evil.py"]),
        "teacher": rng.choice([f"{canary}/x", "/dev/zero"]),
        "recipe": rng.choice([f"{canary}/x", "/dev/zero", "/etc/passwd"]),
        "space": rng.choice([f"{canary}/x", "/dev/zero", "./evil.py"]),
        "recorded": hostile(rng),
    }
    for key in rng.sample(list(keys), rng.choice([1, 2])):
        tree["request"][key] = keys[key]
    return tree


def event(rng: random.Random, tree: Any) -> Any:
    """An event, perhaps at a time that cannot be."""
    if rng.random() < 0.5:
        return tree
    if rng.random() < 0.5:
        return {**tree, "at": hostile(rng)}
    return mutated(rng, tree)


def checkpoints(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """The state of a begun run: its bytes, its entries, or another's file in its place."""
    folder = begun(box, corpus)
    files = sorted((folder / "checkpoint").iterdir())
    states = [path for path in files if path.suffix == ".pt"]
    for path in states if rng.random() < 0.6 else [states[-1]]:
        match rng.randrange(6):
            case 0 | 1:
                path.write_bytes(garbled(rng, path.read_bytes()))
            case 2 | 3:
                path.write_bytes(repacked(rng, path.read_bytes()))
            case 4:
                path.write_bytes(restated(rng, path))
            case 5:
                path.write_bytes(pickled(rng, box))
    if len(files) > len(states) and rng.random() < 0.3:
        beside = rng.choice([path for path in files if path.suffix != ".pt"])
        beside.write_bytes(garbled(rng, beside.read_bytes()))
    return Case([["resume", folder.name, "--json"], ["runs"]], weights=corpus.weights)


def scores(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """What a stopped evaluation keeps: its bytes, its header, or something else by its name."""
    shutil.copytree(corpus.root / "evaluating" / "work" / "results", box.work / "results")
    path = rng.choice(sorted(box.work.glob("results/runs/*/evaluation/*.safetensors")))
    way = rng.randrange(5)
    match way:
        case 0 | 1:
            path.write_bytes(tensors(rng, path.read_bytes()))
        case 2:
            path.write_bytes(garbled(rng, path.read_bytes()))
        case 3:
            shutil.copy(path, path.with_name(rng.choice(["8-test-9.safetensors", "x.safetensors"])))
            path.write_bytes(pickled(rng, box))
        case 4:
            path.unlink()
            path.symlink_to(rng.choice(["/dev/zero", str(box.canary / "x"), str(path)]))
    run = path.parent.parent.name
    commands = [["resume", run, "--json"], ["validate", "results"]]
    shown = [] if way == 4 else [0, 1]  # what is not of this evaluation is scored again
    return Case(commands, weights=corpus.weights, shown=shown)


def repacked(rng: random.Random, raw: bytes) -> bytes:
    """The zip of a checkpoint with the bytes of one member changed and every sum mended."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as whole:
            members = [(info, whole.read(info)) for info in whole.infolist()]
    except zipfile.BadZipFile:
        return garbled(rng, raw)
    at = rng.randrange(len(members))
    members[at] = (members[at][0], garbled(rng, members[at][1], 1))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as again:
        for info, data in members:
            again.writestr(info.filename, data)
    return buffer.getvalue()


def restated(rng: random.Random, path: Path) -> bytes:
    """The state saved again with an entry that does not belong."""
    import torch

    from ofa_bench.training.checkpoint import serialized

    state: Any = torch.load(path, weights_only=True, map_location="cpu")
    key = rng.choice([name for name in state if name != "parameters"] or list(state))
    match rng.randrange(7):
        case 0:
            del state[key]
        case 1:
            state[key] = _value(rng)
        case 2:
            state["step"] = rng.choice([0, 1, -1, 10**9, 10**30, True, "3", 12, None])
        case 3:
            inner = rng.choice(
                [name for name, v in state.items() if isinstance(v, dict) and v] or [key]
            )
            if isinstance(state[inner], dict):
                state[inner][rng.choice(list(state[inner]))] = _value(rng)
        case 4:
            state["ledger"] = rng.choice(
                [[], None, [{}], [{"name": "warm"}], state.get("ledger", []) * 2]
            )
        case 5:
            state["at"] = rng.choice(
                [0, -1.0, 1e300, float("nan"), float("inf"), "x", None, 10**400]
            )
        case 6:
            state["curve"] = rng.choice([None, [1], [{}], [{"step": 10**30}], "x", [None] * 1000])
    return serialized(state) if rng.random() < 0.8 else _saved(state)


def _value(rng: random.Random) -> Any:
    import torch

    tensors_ = [torch.zeros(0), torch.zeros(3, dtype=torch.int8), torch.full((2,), float("nan"))]
    tensors_ += [torch.zeros(2, device="meta"), torch.eye(2).to_sparse()]
    plain = [value for value in (hostile(rng) for _ in range(3)) if not isinstance(value, bytes)]
    return rng.choice([*tensors_, *map(_unraw, plain)])


def _unraw(value: Any) -> Any:
    return str(value) if type(value).__name__ == "Raw" else value


def _saved(state: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


class _Calls:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


def pickled(rng: random.Random, box: Box) -> bytes:
    """A pickle that calls when it is opened, plain or as torch writes it."""
    call = _Calls(f"{box.canary}/executed-pickle")
    return rng.choice(
        [pickle.dumps(call), _saved(call), _saved({"run_id": "x", "parameters": call})]
    )


def weights(rng: random.Random, box: Box, corpus: Corpus) -> Case:
    """Weights to start from, in each format; also a finished run's, which is evaluated."""
    (made,) = corpus.results.glob("runs/deps-*-s0-*/weights.safetensors")
    raw = made.read_bytes()
    if rng.random() < 0.4:
        shutil.copytree(corpus.results, box.work / "results")
        path = box.work / "results" / "runs" / made.parent.name / "weights.safetensors"
        path.write_bytes(rng.choice([tensors(rng, raw), garbled(rng, raw), stated(rng, made)]))
        return Case(
            [
                [
                    "evaluate",
                    path.parent.name,
                    "--subnet",
                    rng.choice(["smallest", "smallest", *WORDS[:3]]),
                    "--json",
                ]
            ]
        )
    suffix = rng.choice(["safetensors", "pt", "pth"])
    ways = (
        [tensors(rng, raw), garbled(rng, raw)] if suffix == "safetensors" else [pickled(rng, box)]
    )
    data = rng.choice([*ways, stated(rng, made), stated(rng, made)])
    (box.work / f"w.{suffix}").write_bytes(data)
    method, option = rng.choice([("deps", "--init"), ("ofa", "--init"), ("ofa", "--teacher")])
    return Case([["run", "--method", method, *TINY, option, f"w.{suffix}", "--json"]])


def stated(rng: random.Random, path: Path) -> bytes:
    """The network's tensors, one or two of another kind, shape or wrapping; saved by torch."""
    from safetensors.torch import load_file, save

    state: dict[str, Any] = dict(load_file(str(path)))
    for name in rng.sample(list(state), rng.choice([1, 2])):
        if rng.random() < 0.2:
            state[rng.choice(WORDS[:60])] = state.pop(name)
        else:
            state[name] = _other(rng, state[name])
    if path.suffix and rng.random() < 0.4:
        try:
            return bytes(save(state))
        except Exception:  # what safetensors cannot hold goes into a pickle
            return _saved(state)
    wrapper = rng.choice(["state_dict", "model", "net", "model_ema", "x", "", ""])
    return _saved({wrapper: state} if wrapper else state)


def _other(rng: random.Random, value: Any) -> Any:
    """A tensor of another kind, layout or value; or none at all."""
    import torch

    makers: list[Callable[[], Any]] = [
        lambda: value.to(torch.int8),
        lambda: value.double(),
        lambda: value.half(),
        lambda: value > 0,
        lambda: torch.full_like(value, float("nan")),
        lambda: value * float("inf"),
        lambda: value.to("meta"),
        lambda: value.to_sparse(),
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        lambda: value.to(torch.complex64),
        lambda: torch.zeros(()).expand(2**20, 2**20),
        lambda: value[:0],
        lambda: _unraw(hostile(rng)),
    ]
    return rng.choice(makers)()


KINDS: dict[str, Callable[[random.Random, Box, Corpus], Case]] = {
    "folders": folders,
    "checkpoints": checkpoints,
    "scores": scores,
    "weights": weights,
}
