"""The engine's own parts as a contender: passes with shared prefixes, flat gradients, optimizer."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor

from ofa_bench import api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import Draw
from ofa_bench.hooks.hookspecs import Snapshot
from ofa_bench.losses import Losses
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.nets.protocol import decays
from ofa_bench.training.cuda.graphs import blocks_of
from ofa_bench.training.devices import Devices
from ofa_bench.training.forward_backward import Passes
from ofa_bench.training.gradients import FlatGradients
from ofa_bench.training.optimizer import Optimizer
from ofa_bench.training.precision import autocast
from ofa_bench.training.teacher import FrozenTeacher

RATE = ("optim.name=sgd", "optim.lr=1e-4", "net.dropout=0", "optim.momentum=0.9")


class Ours:
    """One step of a composition on a network."""

    def __init__(
        self, net: MBConvNet, *, distill: str, teacher: bool = False, precision: str = "fp32"
    ) -> None:
        self.net = net
        device = next(net.parameters()).device
        precise = autocast(precision, Devices(device))
        self.blocks = blocks_of(net, device, precise)
        chosen = {"shrink": "sandwich" if distill != "frozen" else "progressive", "lr": "constant"}
        self.plan = api.plan(
            **chosen, distill=distill, dataset="cifar10", space=net.space.name, set=RATE
        )
        science = self.plan.science
        self.gradients = FlatGradients(net.named_parameters())
        self.optimizer = Optimizer(science.optim, dict(net.named_parameters()), decays)
        self.optimizer.join(net.reachable(net.space))
        self.losses = Losses(science.optim.label_smoothing)
        self.phase = self.plan.schedule.step(self.plan.schedule.steps - 1)
        self.teacher = None
        if teacher:
            value = Snapshot(net.space.largest, at=self.phase.phase.name)
            frozen = copy.deepcopy(net)
            self.teacher = FrozenTeacher(
                value, frozen, None, lambda net: blocks_of(net, device, precise)
            )

    def step(self, draws: Sequence[Draw], images: Tensor, labels: Tensor) -> None:
        """As `training.loop` does it, without what surrounds it."""
        passes = Passes(
            net=self.net,
            bus=self.plan.bus,
            criterion=self.losses,
            step=self.phase,
            draws=draws,
            shares=[1.0] * len(draws),
            blocks=self.blocks,
            teach=self.teacher.on if self.teacher else None,
        )
        self.gradients.zero()
        passes.run(MicroBatch(images, labels), 0, 1.0, lambda draw: None)
        self.optimizer.step(1e-4)
