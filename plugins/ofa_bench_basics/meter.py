"""How far the smaller nets' gradients outweigh the largest net's (DεpS, Figures 3 and 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ofa_bench import Draw, Role, RunView, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Meter:
    """Sums gradients as the engine does, and writes `meter.jsonl` into the run's folder.

    A line per step in which others train beside the largest net: over all parameters and for each
    block, the norm of the others' summed gradient over the norm of the largest net's, and their
    cosine. Shares are applied already, so a ramp shows. Each draw's own gradient is needed, so
    nothing is shared between draws while this is on. What it comes to, at the first such step and
    over the first and last ten, is left as readings.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._ranges: dict[str, list[tuple[int, int]]] = {}

    @hookimpl
    def run_start(self, run: RunView) -> None:
        """Group the flat gradient's ranges by block."""
        self._path = run.folder / "meter.jsonl"
        run.folder.mkdir(parents=True, exist_ok=True)
        self._ranges = blocks(run.parameters)

    @hookimpl
    def merge_gradients(
        self, step: Step, draws: Sequence[Draw], grads: Tensor, shares: Sequence[float]
    ) -> Tensor:
        """The plain sum, after a look at its parts."""
        places = [index for index, draw in enumerate(draws) if draw.role is Role.LARGEST]
        if self._path is not None and len(places) == 1 and len(draws) > 1:
            full = grads[places[0]]
            others = grads.sum(0) - full
            line = {"step": step.index, "phase": step.phase.name, "share": min(shares)}
            line |= {"all": compared(full, others)}
            line["blocks"] = {
                name: compared(_part(full, ranges), _part(others, ranges))
                for name, ranges in self._ranges.items()
            }
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        return grads.sum(0)

    @hookimpl
    def run_end(self, record: Mapping[str, Any]) -> None:
        """Leave the numbers that a comparison shows."""
        if self._path is None or not self._path.is_file():
            return
        lines = [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]
        steps = {line["step"]: line for line in lines}  # a step done again after a kill counts once
        folder = self._path.parent / "readings"
        folder.mkdir(exist_ok=True)
        text = json.dumps(summed([steps[index] for index in sorted(steps)]))
        (folder / "meter.json").write_text(text, encoding="utf-8")


def summed(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means of norm ratio and cosine where the smaller nets join, and at the end."""
    means = {}
    for index, name in enumerate(("norm ratio", "cosine")):
        for when, some in (
            ("first step", lines[:1]),
            ("first 10 steps", lines[:10]),
            ("last 10 steps", lines[-10:]),
        ):
            values = [line["all"][index] for line in some if line["all"][index] is not None]
            if values:
                means[f"{name}, {when}"] = fmean(values)
    return means


def blocks(parameters: Mapping[str, tuple[int, int]]) -> dict[str, list[tuple[int, int]]]:
    """Ranges by block: the first two words of a parameter's name."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for name, span in parameters.items():
        groups.setdefault(".".join(name.split(".")[:2]), []).append(span)
    return groups


def compared(full: Tensor, others: Tensor) -> list[Any]:
    """[norm of others / norm of full, cosine]; None where a norm is zero."""
    norms = float(full.norm()), float(others.norm())
    ratio = norms[1] / norms[0] if norms[0] else None
    cosine = float(full @ others) / (norms[0] * norms[1]) if norms[0] and norms[1] else None
    return [ratio, cosine]


def _part(flat: Tensor, ranges: Sequence[tuple[int, int]]) -> Tensor:
    """The block's elements; its parameters lie side by side."""
    return flat[ranges[0][0] : ranges[-1][1]]
