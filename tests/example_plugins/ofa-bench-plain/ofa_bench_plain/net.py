"""Every subnet of a table over one set of weights: stem, one block per slot, head."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from ofa_bench import Space, Subnet, UsageError


class Norm(nn.BatchNorm2d):
    """Batch norm over the first channels: by the batch, or by calibrated statistics."""

    def __init__(self, channels):
        super().__init__(channels, track_running_stats=False)
        self.statistics = None  # an evaluator's mean and biased variance
        self.record = None  # where an evaluator wants each batch's appended

    def forward(self, x):
        n = x.shape[1]
        scale = (self.weight[:n], self.bias[:n])
        if self.statistics is not None:
            return F.batch_norm(x, *self.statistics, *scale, False, 0.0, self.eps)
        if self.record is not None:
            self.record.append((x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)))
        return F.batch_norm(x, None, None, *scale, True, 0.0, self.eps)


class Stem(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.conv = nn.Conv2d(3, table.stem.width, 3, table.stem.stride, 1, bias=False)
        self.conv_norm = Norm(table.stem.width)

    def forward(self, x):
        return self.conv_norm(self.conv(x)).relu()


class Block(nn.Module):
    """A k×k convolution to the middle width, a 1×1 to the stage's, and a way around them."""

    def __init__(self, inputs, row, stride):
        super().__init__()
        middle, self.inputs = inputs * max(row.expand), inputs
        self.spatial = nn.Conv2d(inputs, middle, max(row.kernel), stride, bias=False)
        self.spatial_norm = Norm(middle)
        self.point = nn.Conv2d(middle, row.width, 1, bias=False)
        self.point_norm = Norm(row.width)
        self.around = stride == 1 and inputs == row.width

    def cut(self, kernel, expand):
        """The first channels' kernels, and of these the middle."""
        edge = (self.spatial.kernel_size[0] - kernel) // 2
        middle, window = self.inputs * expand, slice(edge, edge + kernel)
        return self.spatial.weight[:middle, :, window, window], self.point.weight[:, :middle]

    def forward(self, x, kernel, expand):
        spatial, point = self.cut(kernel, expand)
        y = F.conv2d(x, spatial, None, self.spatial.stride, kernel // 2)
        y = self.point_norm(F.conv2d(self.spatial_norm(y).relu(), point))
        return (x + y).relu() if self.around else y.relu()


class Head(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.linear(x.mean((2, 3)))


class Plain(nn.Module):
    """The supernet."""

    stochastic = frozenset()  # blocks that use the generator: none has dropout

    def __init__(self, space: Space, classes: int):
        super().__init__()
        table, inputs, blocks = space.table, space.table.stem.width, []
        for row in table.rows:
            for place in range(max(row.depth)):
                blocks.append(Block(inputs, row, row.stride if place == 0 else 1))
                inputs = row.width
        self.blocks = nn.ModuleList([Stem(table), *blocks, Head(inputs, classes)])
        self.space, self.classes, self.active = space, classes, space.largest

    def key(self, subnet: Subnet, index: int):
        if index in (0, len(self.blocks) - 1):
            return ("stem", subnet.resolution) if index == 0 else ("head",)
        kernel = subnet.kernel[index - 1]
        return None if kernel is None else (kernel, subnet.expand[index - 1])

    def run(self, index, x, subnet, generator):
        block, key = self.blocks[index], self.key(subnet, index)
        if key is None:
            return x
        return block(x, *key) if isinstance(block, Block) else block(x)

    def activate(self, subnet):
        self.active = subnet

    def forward(self, images):
        for index in range(len(self.blocks)):
            images = self.run(index, images, self.active, None)
        return images

    def reachable(self, space: Space):
        last = len(self.blocks) - 1
        used = {0, last}
        for options, slots in zip(space.options, space.blocks, strict=True):
            used |= {slot + 1 for slot in slots[: max(options.depth)]}
        return {name for name, _ in self.named_parameters() if int(name.split(".")[1]) in used}

    def norms(self, index):
        found = self.blocks[index].named_modules(prefix=f"blocks.{index}")
        return {name: module for name, module in found if isinstance(module, Norm)}

    def extract(self, subnet: Subnet):
        """The subnet as plain torch layers of its own, with the weights that it uses."""
        stem = self.blocks[0]
        layers = [conv(stem.conv, stem.conv.weight), norm(stem.conv_norm), nn.ReLU()]
        for index, block in enumerate(self.blocks):
            key = self.key(subnet, index)
            if isinstance(block, Block) and key is not None:
                spatial, point = block.cut(*key)
                first = [conv(block.spatial, spatial), norm(block.spatial_norm, len(spatial))]
                second = [conv(block.point, point), norm(block.point_norm)]
                layers.append(Residual(nn.Sequential(*first, nn.ReLU(), *second), block.around))
        return nn.Sequential(*layers, copy.deepcopy(self.blocks[-1]))


class Residual(nn.Module):
    """An extracted block."""

    def __init__(self, body, around):
        super().__init__()
        self.body, self.around = body, around

    def forward(self, x):
        return (x + self.body(x)).relu() if self.around else self.body(x).relu()


def conv(like, weight):
    outputs, inputs, kernel, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, kernel, like.stride, kernel // 2, bias=False)
    made.weight = nn.Parameter(weight.detach().clone())
    return made


def norm(like, channels=None):
    made = nn.BatchNorm2d(channels or len(like.weight), eps=like.eps, track_running_stats=False)
    made.weight = nn.Parameter(like.weight[:channels].detach().clone())
    made.bias = nn.Parameter(like.bias[:channels].detach().clone())
    return made


def build(space: Space, classes: int, seed: int = 0, **recipe) -> Plain:
    """A supernet with weights drawn from the seed alone; `recipe` is its [net] table, of which a
    plain network can do nothing but the defaults."""
    if recipe.get("dropout") or recipe.get("shortcuts", "identity") != "identity":
        raise UsageError("a plain network has no dropout and its own shortcuts", "leave them out")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Plain(space, classes)
