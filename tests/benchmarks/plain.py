"""The largest net of a space in plain torch layers: the floor that elasticity is held against."""

from __future__ import annotations

from torch import Tensor, nn

from ofa_bench.space import Space
from ofa_bench.space.table import round8

ACTS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "h_swish": nn.Hardswish}


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs, track_running_stats=False)]


class Gate(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        middle = round8(width // 4)
        self.body = nn.Sequential(
            nn.Conv2d(width, middle, 1), nn.ReLU(), nn.Conv2d(middle, width, 1), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.body(x.mean((2, 3), keepdim=True))
        return gated


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = x + self.body(x)
        return summed


def plain(space: Space, classes: int) -> nn.Sequential:
    """The largest subnet of the space, by nothing but torch.nn."""
    table, width = space.table, space.table.stem.width
    layers: list[nn.Module] = [*conv(3, width, 3, table.stem.stride), ACTS[table.stem.act]()]
    first = table.first
    body = [
        *conv(width, width, 3, first.stride, width),
        ACTS[first.act](),
        *conv(width, first.width, 1),
    ]
    layers.append(Residual(nn.Sequential(*body)) if first.shortcut else nn.Sequential(*body))
    width = first.width
    for row in table.rows:
        for place in range(max(row.depth)):
            stride = row.stride if place == 0 else 1
            middle = round8(round(width * max(row.expand)))
            act = ACTS[row.act]
            body = [
                *conv(width, middle, 1),
                act(),
                *conv(middle, middle, max(row.kernel), stride, middle),
            ]
            body += [act(), *([Gate(middle)] if row.se else []), *conv(middle, row.width, 1)]
            same = stride == 1 and width == row.width
            layers.append(Residual(nn.Sequential(*body)) if same else nn.Sequential(*body))
            width = row.width
    head = table.head
    layers += [*conv(width, head.final, 1), ACTS[head.act](), nn.AdaptiveAvgPool2d(1)]
    if head.mix:
        layers += [nn.Conv2d(head.final, head.mix, 1, bias=False), ACTS[head.act]()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(head.mix or head.final, classes))
