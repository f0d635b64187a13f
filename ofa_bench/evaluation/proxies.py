"""Zero-cost proxies: numbers that rank networks which nobody trained.

A supernet's ranking has to be better than what costs nothing. The bundled proxies follow their
papers; each says where it does not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.nets.extract import Gated

Shape = tuple[int, int, int]
WEIGHTED = (nn.Conv2d, nn.Linear)


class Proxy(Protocol):
    """Registered as `catalogue.proxy(name, "package.module:Class")`, made without arguments."""

    batches: int
    """How many batches of labelled training images it needs; 0 for none."""

    def score(self, net: nn.Module, shape: Shape, batches: Sequence[MicroBatch]) -> float:
        """A finite number, higher for a net that should be more accurate once it is trained.

        `net` maps images [n, *shape] to logits [n, classes]. It is in training mode, in single
        precision, untrained, its norms use the batch's statistics, and the proxy may change it.
        The images of `batches` are shared with other nets and stay as they are. Equal arguments
        give an equal answer; shared random generators are not drawn from.
        """
        ...


class MacsProxy:
    """Multiply-accumulates of one image: what a supernet's ranking has to beat first of all.

    Σ over convolutions and linear layers of weights × output positions, as in the tables of the
    field (Howard et al. 2019). Needs no images.
    """

    batches = 0

    def score(self, net: nn.Module, shape: Shape, batches: Sequence[MicroBatch]) -> float:
        """See `Proxy.score`."""
        counts = []

        def count(layer: nn.Module, _: object, output: Tensor) -> None:
            counts.append(weight_of(layer).numel() * output[0, 0].numel())

        for layer in weighted(net):
            layer.register_forward_hook(count)
        with torch.no_grad():
            net(torch.zeros(2, *shape, device=weight_of(weighted(net)[0]).device))
        return float(sum(counts))


class ParamsProxy:
    """How many parameters the net has, norms and biases included. Needs no images."""

    batches = 0

    def score(self, net: nn.Module, shape: Shape, batches: Sequence[MicroBatch]) -> float:
        """See `Proxy.score`."""
        return float(sum(parameter.numel() for parameter in net.parameters()))


class SynflowProxy:
    """Synaptic flow: log Σ over weights of |θ · ∂R/∂θ| with R = 1ᵀ (Π over layers of |θ|) 1.

    Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow" (NeurIPS 2020), the saliency of its section 6; as a score of
    architectures in Abdelfattah et al., "Zero-cost proxies for lightweight NAS" (ICLR 2021),
    section 3. Needs no images: the input is ones.

    Deviations. Norms and activations are left out, as R is defined without them; the codes keep
    the activations, which act on nothing where all is positive, as rectifiers, but do change R as
    hard swish and ReLU6. Squeeze-and-excite gates are open and their weights not counted: a product
    of paths has no gates. Biases are left out. Computed in double precision.
    """

    batches = 0

    def score(self, net: nn.Module, shape: Shape, batches: Sequence[MicroBatch]) -> float:
        """See `Proxy.score`."""
        net = linearised(net).double()
        weights = [weight_of(layer) for layer in weighted(net)]
        with torch.no_grad():
            for weight in weights:
                weight.abs_()
        ones = torch.ones(1, *shape, dtype=torch.float64, device=weights[0].device)
        slopes = torch.autograd.grad(net(ones).sum(), weights)
        pairs = zip(weights, slopes, strict=True)
        total = sum(float((weight.detach() * slope).sum()) for weight, slope in pairs)
        return math.log(max(total, sys.float_info.min))


class JacobCovProxy:
    """How differently the images of a batch are seen: −Σᵢ [log(σᵢ + k) + 1 / (σᵢ + k)], k = 1e-5.

    The σᵢ are the eigenvalues of the correlation matrix of the rows of J, and row i of J is the
    gradient of the net's summed outputs to image i. Mellor, Turner, Storkey and Crowley, "Neural
    architecture search without training" (arXiv 2006.04647, first version; the ICML 2021 version
    has another score), named jacob_cov by Abdelfattah et al. (ICLR 2021), section 3. Needs one
    batch, without its labels.

    Deviations: a row without variance is uncorrelated with all others where the codes have NaN,
    and the correlations are computed in double precision.
    """

    batches = 1

    def score(self, net: nn.Module, shape: Shape, batches: Sequence[MicroBatch]) -> float:
        """See `Proxy.score`."""
        images = batches[0].images.detach().clone().requires_grad_()
        (jacobian,) = torch.autograd.grad(net(images).sum(), images)
        return self.diversity(jacobian.flatten(1))

    @staticmethod
    def diversity(rows: Tensor, k: float = 1e-5) -> float:
        """The score of a Jacobian [images, inputs]."""
        centred = rows.double() - rows.double().mean(1, keepdim=True)
        unit = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-300)
        values = torch.linalg.eigvalsh(unit @ unit.T).clamp_min(0) + k
        return -float((values.log() + 1 / values).sum())


class ZicoProxy:
    """Inverse coefficient of variation of gradients: Σₗ log Σ_ω mean|g_ω| / deviation|g_ω|.

    g_ω is the gradient of a batch's mean cross entropy to the weight ω of layer l. Mean and
    deviation (that of the population, over n) run over the batches, of which it needs two with
    labels. Layers are convolutions and linear ones; a weight without deviation is left out, and a
    layer of such weights alone adds nothing. After Li, Yang, Bhardwaj and Marculescu, "ZiCo:
    zero-shot NAS via inverse coefficient of variation on gradients" (ICLR 2023, arXiv 2301.11300),
    the definition in its section 3.

    Which deviation: that of absolute gradients is computed here, as the definition is quoted by
    later work; the paper itself was not compared word by word. The authors' published code divides
    the same mean by the deviation of gradients with their signs, and published scores are that
    code's. Of two batches with gradients a and b a weight's term is (|a| + |b|) / ||a| - |b|| here
    and (|a| + |b|) / |a - b| there: equal where the signs are, else smaller there. The code
    also adds each batch's gradient to those before it (SLDGroup/ZiCo, compute_zico.py).
    """

    batches = 2

    def score(self, net: nn.Module, shape: Shape, batches: Sequence[MicroBatch]) -> float:
        """See `Proxy.score`."""
        weights = [weight_of(layer) for layer in weighted(net)]
        sizes = []
        for batch in batches:
            loss = functional.cross_entropy(net(batch.images), batch.labels)
            slopes = torch.autograd.grad(loss, weights)
            sizes.append([slope.double().abs() for slope in slopes])
        return sum(self.steadiness(torch.stack(layer)) for layer in zip(*sizes, strict=True))

    @staticmethod
    def steadiness(sizes: Tensor) -> float:
        """A layer's term from absolute gradients [batches, *weights]."""
        spread = sizes.std(0, correction=0)
        total = float((sizes.mean(0) / spread)[spread > 0].sum())
        return math.log(total) if total > 0 else 0.0


def weighted(net: nn.Module) -> list[nn.Module]:
    """The convolutions and linear layers of a net, in the order of its modules."""
    return [module for module in net.modules() if isinstance(module, WEIGHTED)]


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a convolution or linear layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def linearised(net: nn.Module) -> nn.Module:
    """The net without norms, activations, gates and biases; changed in place."""
    for name, child in net.named_children():
        activation = type(child).__module__ == "torch.nn.modules.activation"
        if activation or isinstance(child, _BatchNorm | Gated):
            setattr(net, name, nn.Identity())
            continue
        linearised(child)
        if isinstance(child, WEIGHTED):
            child.bias = None
    return net
