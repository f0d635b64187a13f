"""The parameter slices that a subnet uses, for extras that merge gradients."""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench.nets.blocks import MBConv
from ofa_bench.nets.elastic import squeezed

Slices = tuple[slice, ...]


def block_slices(block: MBConv, kernel: int, middle: int) -> Iterator[tuple[str, Slices]]:
    """Parameter names within a block, and the slice used at a kernel size and a middle width."""
    first = slice(middle)
    idle = block.depthwise.idle_matrices((kernel,))
    # A matrix mixes its whole input, which is the centre of the next larger kernel.
    reach = larger(block, kernel)
    edge = (block.depthwise.weight.shape[-1] - reach) // 2
    window = slice(edge, edge + reach)
    narrow: dict[str, Slices] = {
        "expand.weight": (first,),
        "depthwise.weight": (first, slice(None), window, window),
        "project.weight": (slice(None), first),
        **{f"{norm}.{leaf}": (first,) for norm in MIDDLE_NORMS for leaf in ("weight", "bias")},
    }
    if block.se is not None:
        gate = slice(squeezed(middle))
        narrow |= {
            "se.reduce.weight": (gate, first),
            "se.reduce.bias": (gate,),
            "se.expand.weight": (first, gate),
            "se.expand.bias": (first,),
        }
    for name, _ in block.named_parameters():
        if name.removeprefix("depthwise.") not in idle:
            yield name, narrow.get(name, (slice(None),))


def larger(block: MBConv, kernel: int) -> int:
    """The side of the centre crop from which a kernel is computed: the kernel's size, or with
    matrices the largest size below the full kernel, where the chain of matrices starts."""
    sizes = sorted(block.depthwise.kernels, reverse=True)
    if not block.depthwise.transforms or kernel == sizes[0]:
        return kernel
    return int(sizes[1])


MIDDLE_NORMS = ("expand_norm", "depthwise_norm")
