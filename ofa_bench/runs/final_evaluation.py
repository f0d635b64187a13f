"""Final evaluation: calibrate all candidates and score them on select and, once, on test."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ofa_bench.evaluation.candidates import candidates
from ofa_bench.evaluation.kept_scores import KeptScores
from ofa_bench.evaluation.resumable import score_and_keep
from ofa_bench.evaluation.score import Correctness
from ofa_bench.hardware import cpu_model
from ofa_bench.planning.assemble import Assembly
from ofa_bench.records.per_image import pack
from ofa_bench.records.schema import Layout, Score
from ofa_bench.seeding import digest
from ofa_bench.space import Subnet
from ofa_bench.training.state import State
from ofa_bench.training.weights import weights_hash

FOLDER = "evaluation"  # of a run's folder
FORMAT = 1  # of the kept scores


@dataclass(frozen=True)
class Judgement:
    """Scores per candidate, their packed per-image bits, and the duration in seconds."""

    scores: tuple[Score, ...]
    bits: bytes
    layout: Layout
    subnets: tuple[Subnet, ...]
    seconds: float


def judge(state: State) -> Judgement:
    """Score every candidate of the trained space.

    Scores are kept in the run's folder chunk by chunk, so that an evaluation which was stopped or
    killed goes on where it was; `forget_scores` removes them.
    """
    assembly = state.assembly
    table = assembly.science.evaluate
    subnets = candidates(
        assembly.space,
        assembly.trained,
        per_bucket=table.per_bucket,
        buckets=table.buckets,
        classes=assembly.classes,
    )
    state.progress.note(f"evaluating {len(subnets)} subnets, each with norm statistics of its own")
    evaluated = score_and_keep(
        state.net,
        subnets,
        state.source,
        chunk=table.chunk,
        devices=state.devices,
        kept=_kept(state, subnets),
        stop=state.stop,
        tell=lambda done, of: state.progress.evaluating(done, of, "images"),
    )
    scores = tuple(score_of(assembly, result) for result in evaluated.results)
    raw, layout = pack([result.correct["test"].tolist() for result in evaluated.results])
    return Judgement(scores, raw, layout, tuple(subnets), evaluated.seconds)


def score_of(assembly: Assembly, result: Correctness) -> Score:
    """What a record holds of a subnet: its costs, and its accuracy on select and on test."""
    space, classes = assembly.space, assembly.classes
    return Score(
        subnet=result.subnet.to_json(),
        name=str(result.subnet),
        macs=space.macs(result.subnet, classes),
        params=space.params(result.subnet, classes),
        top1_select=result.top1("select"),
        top1_test=result.top1("test"),
    )


def _kept(state: State, subnets: Sequence[Subnet]) -> KeptScores | None:
    """The scores kept in the run's folder, of this evaluation only; None on ranks but the first.

    Scores follow from the run, its weights and candidates, and to the bit from the machine too: one
    record holds no scores of other machines than those of its ranks.
    """
    source, device = state.source, state.devices.device
    cuda = device.type == "cuda"
    machine = torch.cuda.get_device_name(device) if cuda else cpu_model()
    machines = sorted({str(name) for name in state.devices.gather(machine)})
    if not state.devices.first:
        return None
    evaluation = digest(
        *(FORMAT, state.run_id, weights_hash(state.net)),
        [subnet.to_json() for subnet in subnets],
        *(source.hash, sorted(source.splits_hash.items()), source.calibration_hash, source.decoder),
        *(*machines, torch.get_num_threads()),
        *(torch.__version__, torch.are_deterministic_algorithms_enabled()),
    )
    chunk = state.assembly.science.evaluate.chunk
    folder, note = state.folder / FOLDER, state.progress.note
    return KeptScores(folder, evaluation, subnets, source.sizes, chunk, note)


def forget_scores(folder: Path) -> None:
    """Remove the kept scores from a run's folder, once its record is stored."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
