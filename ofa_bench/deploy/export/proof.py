"""The proof that a file computes what was measured: logits, predictions, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa_bench.deploy.export.exporter import ExportedFile, Floats
from ofa_bench.errors import BenchError
from ofa_bench.evaluation.calibration import Statistics, calibrated
from ofa_bench.evaluation.exact_math import undisturbed

if TYPE_CHECKING:
    from ofa_bench.nets.mbconv import MBConvNet
    from ofa_bench.space import Subnet

BATCHES = (1, 2, 7)
TOLERANCE = 1e-4  # of logits, in absolute terms
ROUNDING = 1e-5  # two classes whose logits are closer than this are a tie, and counted as one

LayerValues = Mapping[str, Floats]


class FormatFailed(BenchError):
    """A written format does not compute what the supernet's subnet does."""


@dataclass(frozen=True)
class Reference:
    """The subnet inside its supernet, with its calibrated statistics: what evaluation scores."""

    net: MBConvNet
    subnet: Subnet
    statistics: Statistics

    def logits(self, images: Tensor) -> Tensor:
        """Logits [n, classes] on the CPU."""
        return list(self.blocks(images).values())[-1]

    def blocks(self, images: Tensor) -> dict[str, Tensor]:
        """The output of each block that the subnet has, on the CPU, in order."""
        net, outputs = self.net, {}
        x = images.to(next(net.parameters()).device)
        with (
            undisturbed(net),
            torch.inference_mode(),
            calibrated(net, self.subnet, self.statistics),
        ):
            for index, name in enumerate(net.module_names):
                if net.key(self.subnet, index) is not None:
                    x = net.run(index, x, self.subnet, None)
                    outputs[name] = x.cpu().clone()
        return outputs


@dataclass(frozen=True)
class Predictions:
    """The reference's answers on one split: the class, how far the second is behind, the truth."""

    best: Tensor
    margin: Tensor
    truth: Tensor

    @property
    def hits(self) -> Tensor:
        """Whether each image is classified right."""
        return self.best == self.truth


def predictions(reference: Reference, batches: Iterable[tuple[Tensor, Tensor]]) -> Predictions:
    best, margin, truth = [], [], []
    for images, labels in batches:
        logits = reference.logits(images)
        two = logits.topk(min(2, logits.shape[1]), dim=1).values
        best.append(logits.argmax(1))
        margin.append(two[:, 0] - two[:, -1])
        truth.append(labels)
    return Predictions(torch.cat(best), torch.cat(margin), torch.cat(truth))


def check_extraction(reference: Reference, net: nn.Module, example: Tensor) -> None:
    """Raise FormatFailed, naming the first block, where the network taken out computes something
    else."""
    layers = layer_outputs(net, example)
    for name, value in reference.blocks(example).items():
        apart = _apart(value.numpy(), layers[name])
        if not apart <= TOLERANCE * max(1.0, float(value.abs().max())):
            raise FormatFailed(
                f"the subnet taken out parts from the supernet in {name}, by {apart:.3g}",
                "this is a bug; nothing was written",
            )


def check_logits(
    name: str,
    file: ExportedFile,
    reference: Reference,
    net: nn.Module,
    example: Tensor,
    exact: bool,
) -> dict[str, float]:
    """The largest difference of a logit by batch size. Raises FormatFailed, naming the first layer
    that parts, where an exact format differs by more than TOLERANCE."""
    differences = {}
    for size in BATCHES:
        images = example[:size]
        wanted, logits = reference.logits(images).numpy(), file.logits(images.numpy())
        if logits.shape != wanted.shape:
            raise FormatFailed(
                f"{name}: logits of {size} images are {list(logits.shape)}, "
                f"not {list(wanted.shape)}",
                "the exporter fixed a size; nothing was written",
            )
        differences[str(size)] = apart = _apart(wanted, logits)
        if not isfinite(apart):
            raise FormatFailed(f"{name}: logits are not finite", "nothing was written")
        if exact and not apart <= TOLERANCE:
            layer = first_parting(layer_outputs(net, images), file.activations(images.numpy()))
            ending = f"; {layer} parts first" if layer else "; no layer could be compared"
            raise FormatFailed(
                f"{name}: logits of {size} images differ by {apart:.3g} from the supernet's"
                f"{ending}",
                "nothing was written; other formats may be exported without it",
            )
    return differences


def check_predictions(
    name: str,
    file: ExportedFile,
    expected: Predictions,
    batches: Iterable[tuple[Tensor, Tensor]],
    exact: bool,
) -> dict[str, Any]:
    """How many images get the reference's class, and the accuracy. Raises FormatFailed where an
    exact format answers otherwise, ties within ROUNDING excepted."""
    best = torch.cat([torch.from_numpy(file.logits(x.numpy()).argmax(1)) for x, _ in batches])
    other = best != expected.best
    ties = other & (expected.margin <= ROUNDING)
    wrong = torch.nonzero(other & ~ties).flatten().tolist()
    if exact and wrong:
        raise FormatFailed(
            f"{name}: {len(wrong)} of {len(best)} test images get another class than by the "
            f"supernet, the first is image {wrong[0]}",
            "nothing was written; other formats may be exported without it",
        )
    right = int((best == expected.truth).sum())
    return {
        "images": len(best),
        "equal": len(best) - int(other.sum()),
        "ties": int(ties.sum()),
        "top1": 100.0 * right / len(best),
    }


def remarks(facts: Mapping[str, Any], expected: Predictions | None) -> list[str]:
    """What a user of a quantised format should know: that it is slower, or what it loses."""
    lines = []
    ratio = facts.get("speed", {}).get("ratio")
    if ratio is not None and ratio < 1:
        lines.append(f"slower than fp32 here: {ratio:.2f} times its speed")
    if expected is not None and len(expected.best):
        lost = 100.0 * float(expected.hits.double().mean()) - facts["predictions"]["top1"]
        if lost > 0:
            lines.append(f"loses {lost:.2f} points of top-1 on {len(expected.best):,} test images")
    return lines


def check_macs(name: str, file: ExportedFile, wanted: int) -> int:
    """The multiply-accumulates that the file has. Raises FormatFailed unless the space counts as
    many."""
    counted = file.macs()
    if counted != wanted:
        raise FormatFailed(
            f"{name}: the graph has {counted:,} multiply-accumulates, the space counts {wanted:,}",
            "nothing was written; other formats may be exported without it",
        )
    return counted


@torch.no_grad()
def layer_outputs(net: nn.Module, images: Tensor) -> dict[str, Floats]:
    """The output of each layer by its name, inner layers before those that hold them."""
    outputs: dict[str, Floats] = {}
    handles = [
        layer.register_forward_hook(
            lambda _, __, value, name=name: outputs.__setitem__(name, value.numpy().copy())
        )
        for name, layer in net.named_modules()
        if name
    ]
    try:
        net(images)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def first_parting(wanted: LayerValues, actual: LayerValues) -> str:
    """The first layer whose values differ; "" where no layer of both is known to."""
    for name, value in wanted.items():
        if name in actual and actual[name].shape == value.shape:
            scale = max(1.0, float(abs(value).max()))
            if not _apart(value, actual[name]) <= TOLERANCE * scale:
                return name
    return ""


def _apart(one: Floats, other: Floats) -> float:
    return float(abs(one - other).max())
