"""The official package's network as a contender: same weights, batch, draws and optimizer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ofa_bench.draws import Draw, Role
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import Space, Subnet
from ofa_bench.weight_files import official

CLASSES = 10


def peer_net(space: Space) -> Any:
    """The package's MobileNetV3 with the kernel sizes of a space, and its strides."""
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    torch.manual_seed(0)
    peer = OFAMobileNetV3(
        n_classes=CLASSES,
        bn_param=(0.1, space.table.norm_eps),
        dropout_rate=0,
        width_mult=1.0,
        ks_list=list(space.choices("kernel")),
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    peer.first_conv.conv.stride = (space.table.stem.stride,) * 2
    slot = 1
    for row in space.table.rows:
        peer.blocks[slot].conv.depth_conv.conv.stride = row.stride
        slot += max(row.depth)
    return peer.train()


def both(space: Space) -> tuple[Any, MBConvNet]:
    """The peer, and ours with its weights; refuses to be timed if they do not agree."""
    peer = peer_net(space)
    net = build(space, CLASSES, channels_last=True)
    official.load_state_dict(net, peer.state_dict())
    size = max(space.resolutions)
    images = torch.randn(4, 3, size, size)
    for subnet in (space.largest, space.smallest):
        activate(peer, space, subnet)
        net.activate(subnet)
        with torch.no_grad():
            ours, theirs = net(images), peer(images)
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-3, subnet
    return peer, net


def activate(peer: Any, space: Space, subnet: Subnet) -> None:
    """Idle slots get any legal value; the package ignores them too."""
    peer.set_active_subnet(
        ks=[kernel or max(space.choices("kernel")) for kernel in subnet.kernel],
        e=[expand or 3 for expand in subnet.expand],
        d=[space.depth_of(subnet, stage) for stage in range(len(space.blocks))],
    )


class Peer:
    """A plain loop over the package's network, as its training code has it."""

    def __init__(
        self, peer: Any, space: Space, last: bool, fused: bool, precision: str = "fp32"
    ) -> None:
        self.net = copy.deepcopy(peer)
        kind, half = next(self.net.parameters()).device.type, precision == "bf16"
        self.autocast = partial(torch.autocast, kind, torch.bfloat16, half)
        self.layout = torch.channels_last if last else torch.contiguous_format
        self.net.to(memory_format=self.layout)
        self.space = space
        self.teacher: Any = None
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=1e-4, momentum=0.9, nesterov=True, fused=fused or None
        )

    def teach(self) -> None:
        """A frozen copy of the largest net, in training mode."""
        self.teacher = copy.deepcopy(self.net)
        activate(self.teacher, self.space, self.space.largest)

    def step(self, draws: Sequence[Draw], images: Tensor, labels: Tensor) -> None:
        """Gradients summed over the draws, one update."""
        images = images.contiguous(memory_format=self.layout)
        self.optimizer.zero_grad(set_to_none=False)
        largest: Tensor | None = None
        if self.teacher is not None:
            with torch.no_grad(), self.autocast():
                largest = self.teacher(images).float()
        for draw in draws:
            activate(self.net, self.space, draw.subnet)
            with self.autocast():
                logits = self.net(images)
            logits = logits.float()
            hard = F.cross_entropy(logits, labels, label_smoothing=0.1)
            if self.teacher is not None:
                assert largest is not None
                loss = hard + soft(logits, largest)
            elif draw.role is Role.LARGEST:
                loss, largest = hard, logits.detach()
            else:
                loss = hard if largest is None else soft(logits, largest)
            loss.backward()
        self.optimizer.step()


def soft(logits: Tensor, teacher: Tensor) -> Tensor:
    """Soft cross entropy."""
    return -(teacher.softmax(1) * logits.log_softmax(1)).sum(1).mean()
