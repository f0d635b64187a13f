"""A record that was touched anywhere does not validate, and the field is named."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.records.json_text import spell
from ofa_bench.records.validation.validate import Context, validate

CONTEXT = Context(load=api.load_space, expected=api.expected_candidates)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a real, small run."""
    torch.set_num_threads(1)
    results = tmp_path_factory.mktemp("results")
    asked = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 1}
    api.run(**asked, results=results, set=("evaluate.per_bucket=1", "evaluate.curve=1"))
    (path,) = results.glob("records/*/*/*.json")
    return path


def copied(record: Path, folder: Path) -> Path:
    """The record in a results folder of its own, so that it lies where it should."""
    path = folder.joinpath(*record.parts[-4:])
    path.parent.mkdir(parents=True)
    for suffix in (".json", ".bits"):
        path.with_suffix(suffix).write_bytes(record.with_suffix(suffix).read_bytes())
    return path


def test_an_honest_record_holds(record: Path) -> None:
    assert validate(record, CONTEXT) == []


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all numbers and strings."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, (*path, place))
    elif value is not None:
        yield path


def changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if value < 99 else value - 1
    return value[:-1] + ("0" if value[-1:] != "0" else "1")


def test_any_changed_value_is_found_and_named(record: Path, tmp_path: Path) -> None:
    told = json.loads(record.read_text())
    everything = [path for path in leaves(told) if path[0] not in ("seals", "sha256")]
    rng = random.Random(4)
    path = copied(record, tmp_path)
    for place in rng.sample(everything, 120):
        forged = json.loads(record.read_text())
        inner = forged
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = changed(inner[place[-1]])
        path.write_text(spell(forged))
        findings = validate(path, CONTEXT)
        assert findings, place
        named = " ".join(map(str, findings))
        assert str(place[0]) in named, (place, named)


def test_random_bytes_are_never_accepted(record: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    path = copied(record, tmp_path)
    for number in range(500):
        target = path.with_suffix(".bits") if number % 4 == 0 else path
        whole = record.with_suffix(target.suffix).read_bytes()
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(raw))
            kind = rng.randrange(3)
            if kind == 0:
                raw[place] ^= 1 << rng.randrange(8)
            elif kind == 1:
                del raw[place : place + rng.randint(1, 9)]
            else:
                raw[place:place] = rng.randbytes(rng.randint(1, 5))
        if bytes(raw) == whole:
            continue
        target.write_bytes(raw)
        assert validate(path, CONTEXT), number
        target.write_bytes(whole)


def test_a_forger_who_seals_anew_meets_the_sums(record: Path, tmp_path: Path) -> None:
    """Hashes made right again do not hide what other fields contradict."""
    from ofa_bench.records.schema import plain, sealed

    path = copied(record, tmp_path)
    told = json.loads(record.read_text())
    for forge, field in (
        (lambda d: d["summary"].update(mean_pareto_accuracy=99.0), "summary"),
        (lambda d: d["cost"].update(train_macs=1), "cost"),
        (lambda d: d["scores"][0].update(macs=1), "macs"),
        (lambda d: d["scores"][0].update(top1_test=100.0), "bits"),
    ):
        forged = json.loads(json.dumps(told))
        forge(forged)
        path.write_text(spell(plain(sealed(forged))))
        named = " ".join(map(str, validate(path, CONTEXT)))
        assert field in named
