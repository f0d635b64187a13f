"""The training curve: select accuracy of the largest and smallest subnet during training."""

from __future__ import annotations

from typing import Any

from ofa_bench.hooks.hookspecs import Scores
from ofa_bench.planning.assemble import Assembly
from ofa_bench.schedule import Step


class TrainingCurve:
    """The points so far, and when the next is due. Its time is not part of the training cost."""

    def __init__(self, assembly: Assembly, net: Any, source: Any, devices: Any) -> None:
        self._assembly, self._net, self._source = assembly, net, source
        self._devices = devices
        self.points: list[dict[str, Any]] = []

    def due(self, step: Step, last: bool) -> bool:
        """Whether a point is due: at the end of each phase, and `evaluate.curve` times per run."""
        count, total = self._assembly.science.evaluate.curve, self._assembly.schedule.steps
        if not count:
            return False
        done = step.index + 1
        return last or done * count // total > step.index * count // total

    def measure(self, step: Step) -> Scores:
        """Score the largest and smallest subnet (percent top-1 on select) and add the point."""
        from ofa_bench.evaluation.score import top1

        space, chunk = step.phase.space, self._assembly.science.evaluate.chunk
        nets = {"largest": space.largest, "smallest": self._assembly.trained.smallest}
        subnets = list(nets.values())
        values = top1(self._net, subnets, self._source, "select", self._devices, chunk=chunk)
        scores = dict(zip(nets, values, strict=True))
        point = {"step": step.index + 1, "epoch": round((step.index + 1) / step.steps_per_epoch, 6)}
        self.points.append({**point, "phase": step.phase.name, **scores})
        return Scores(scores)
