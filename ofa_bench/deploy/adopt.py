"""Adopt weights that were trained elsewhere: a finished run of status `imported` from one file.

Nothing but the weights is taken from the file. What it does not say, the images and the batch-norm
epsilon, is named by the caller; the epsilon of a known zoo checkpoint is recognised by its name.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.planning.assemble import Assembly, assemble
from ofa_bench.recipe import Request
from ofa_bench.recipe.arguments import amount, request
from ofa_bench.records.parts import Adoption
from ofa_bench.records.schema import Record
from ofa_bench.runs.build_record import record_of
from ofa_bench.runs.final_evaluation import forget_scores, judge
from ofa_bench.runs.folder import write_begun
from ofa_bench.runs.readiness import make_ready
from ofa_bench.runs.requests import catalogue_for, shell_line
from ofa_bench.runs.runner import RunContext, prepare, session, state_of
from ofa_bench.sanitize import command_line, plain_text
from ofa_bench.spec_files import load_toml, specs_root
from ofa_bench.training.callbacks import Progress, Silent
from ofa_bench.training.checkpoint import lock
from ofa_bench.training.interrupts import Stop
from ofa_bench.training.weights import (
    load_weights,
    once_for_all_layout,
    save_weights,
    start_from,
    weights_file,
)
from ofa_bench.weight_files import official
from ofa_bench.weight_files.reading import Weights, read_weights, stripped
from ofa_bench.weight_files.zoo import known_checkpoint

NOTE = (
    "trained elsewhere: images of select may have been trained on, so accuracies on select can be "
    "too high; test is as clean as that training left it"
)


@dataclass(frozen=True)
class _Source:
    """The file that is adopted, what was read of it, the batch-norm epsilon that it was trained
    with and who says so, and the command that adopts it."""

    file: str | Path
    weights: Weights
    epsilon: float
    epsilon_source: str
    sha256: str
    command: str

    def described(self, net: Any) -> Adoption:
        """The file as a record tells it."""
        state = stripped(self.weights.state, [name for name, _ in net.named_parameters()])
        return Adoption(
            file=plain_text(weights_file(self.file)[0].name)[:255],
            sha256=self.sha256,
            weights_set=plain_text(self.weights.key)[:200],
            layout="once-for-all" if once_for_all_layout(net, state) else "ofa-bench",
            norm_eps=self.epsilon,
            norm_eps_source=self.epsilon_source,
        )


def adopt(
    file: str | Path,
    *,
    space: str | Path,
    norm_eps: float | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Record:
    """Calibrate and score a checkpoint's subnets and keep it as a finished run.

    `file`: a once-for-all checkpoint in either key layout, or weights in this project's; FILE::SET
    takes one of several sets. `norm_eps`: the batch-norm epsilon it was trained with, needed unless
    `specs/zoo.toml` knows the file's name. `options`: those of `run` that fit, `dataset` being
    required. Returns the record, of status `imported`. Raises UsageError where the file does not
    fit, the epsilon or the data set is not named, DataError where the images are missing.
    """
    watch = progress or Silent()
    path, key = weights_file(file)
    weights = read_weights(path, key)
    epsilon, known_by = _epsilon(path, norm_eps)
    asked = _request(path, weights, space, epsilon, options)
    catalogue = catalogue_for(asked)
    _check_classes(path, weights, assemble(asked, catalogue))
    command = _command(file, epsilon, asked)
    source = _Source(file, weights, epsilon, known_by, start_from(file), command)
    watch.note(f"batch-norm epsilon {epsilon:g}: {known_by}")
    with session(asked.device or "auto") as (stop, devices):
        prepared = prepare(asked, catalogue, devices, adopted=source.sha256, progress=watch)
        with closing(prepared.source):
            if (done := prepared.finished) is not None:
                watch.note(f"{done.run.id} was adopted already: its record stands")
                return done
            return _taken_in(prepared, stop, watch, source)


def _epsilon(file: Path, named: float | None) -> tuple[float, str]:
    """The batch-norm epsilon of the weights, and who says so."""
    known = known_checkpoint(file)
    if named is not None:
        value = amount("norm_eps", named)
        if value > 1:
            raise UsageError(f"norm_eps: {value:g} is over 1", "epsilons are such as 1e-5 or 1e-3")
        return value, "--norm-eps"
    if known is not None:
        return known.norm_eps, f"{known.name} in specs/zoo.toml"
    raise UsageError(
        f"{file}: no weights file says which batch-norm epsilon it was trained with, and another "
        "one gives wrong logits in silence",
        "name it: --norm-eps 1e-3 for the once-for-all package's ProxylessNAS, --norm-eps 1e-5 for "
        "its MobileNetV3 and for runs of ofa-bench",
    )


def _request(
    file: Path, weights: Weights, space: str | Path, epsilon: float, options: dict[str, Any]
) -> Request:
    if options.get("dataset") is None:
        raise _no_dataset(file, _classes_of(weights.state))
    usual = load_toml(specs_root() / "defaults.toml")["adopt"]["method"]
    sets = tuple(options.pop("set", None) or ())
    chosen = {"method": usual, **{k: v for k, v in options.items() if v is not None}}
    return request(**chosen, space=space, set=(*sets, f"net.norm_eps={epsilon!r}"))


def _command(file: str | Path, epsilon: float, asked: Request) -> str:
    options = shell_line(replace(asked, set=asked.set[:-1])).removeprefix("ofa-bench run ")
    return f"{command_line('ofa-bench', 'adopt', file, '--norm-eps', epsilon)} {options}"


def _no_dataset(file: Path, classes: int | None) -> UsageError:
    known = known_checkpoint(file)
    outputs = f"{classes:,} classes" if classes else "some classes"
    name = known.dataset if known else "NAME"
    return UsageError(
        f"{file} holds a classifier of {outputs} and no images: calibrating and scoring its "
        "subnets needs those it was trained for",
        f"name them: --dataset {name} --data-dir DIR",
    )


def _classes_of(state: dict[str, Tensor]) -> int | None:
    """The outputs of the last linear layer, in either layout; None if there is none."""
    rows = [
        len(value)
        for name, value in state.items()
        if official.plain_name(name).endswith(("classifier.linear.weight", ".classifier.weight"))
        and getattr(value, "ndim", 0) == 2
    ]
    return rows[-1] if rows else None


def _check_classes(file: Path, weights: Weights, assembly: Assembly) -> None:
    classes = _classes_of(weights.state)
    if classes is None or classes == assembly.classes:
        return
    raise UsageError(
        f"{file} holds a classifier of {classes:,} classes, {assembly.science.dataset} has "
        f"{assembly.classes:,}",
        "name the data set that it was trained on with --dataset; for other classes, train on: "
        + command_line("ofa-bench", "run", "--init", file, "--init-head", "fresh"),
    )


def _taken_in(prepared: RunContext, stop: Stop, watch: Progress, source: _Source) -> Record:
    """Score the candidates, then write the folder and the record: an adoption that is stopped
    leaves no run behind."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    prepared.check_free()
    with lock(prepared.folder, watch.note):
        make_ready(prepared, stop, watch)
        state = state_of(prepared, stop, watch)
        if note := load_weights(state.net, source.file):
            watch.note(note)
        state.notes.append(NOTE)
        judgement = judge(state)
        record = record_of(
            prepared,
            state,
            {"started": started, "command": source.command},
            "imported",
            judgement=judgement,
            more={"adoption": source.described(state.net)},
        )
        write_begun(prepared, source.command, torch.get_num_threads(), started)
        weights = prepared.folder / "weights.safetensors"
        save_weights(state.net, weights, prepared.source.class_names)
        prepared.store.write(record, judgement.bits)
        forget_scores(prepared.folder)
    return record
