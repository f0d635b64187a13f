"""Run training and evaluation under torch's default settings, whatever the caller has set.

An ambient autocast, default dtype or device, precision or determinism switch changes neither
weights nor scores; all are restored afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ofa_bench.nets.protocol import Supernet

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # without it, cuBLAS does not repeat to the bit
cudnn: Any = torch.backends.cudnn
matmul: Any = torch.backends.cuda.matmul
mkldnn: Any = torch.backends.mkldnn
Switch = tuple[Callable[[], Any], Callable[[Any], None], Any]  # read, write, the value to hold


@contextmanager
def shielded(deterministic: bool = False) -> Iterator[None]:
    """Torch's default settings, with gradients, in full precision by default.

    `deterministic`: only kernels that repeat to the bit; an operation without one raises.
    """
    with ExitStack() as stack:
        if deterministic and WORKSPACE not in os.environ:
            os.environ[WORKSPACE] = ":4096:8"
            stack.callback(os.environ.pop, WORKSPACE, None)
        _hold(_defaults(deterministic), stack)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.backends.nnpack.flags(enabled=True))
        for kind in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))  # not without need: it slows every call
        yield


def _hold(switches: list[Switch], stack: ExitStack) -> None:
    """Set every switch, and let the stack set it back, the last one first."""
    for read, write, value in switches:
        before = read()
        if before != value:
            stack.callback(write, before)
            write(value)


def _defaults(deterministic: bool) -> list[Switch]:
    switches: list[Switch] = [
        (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        (_determinism, _determine, (deterministic, False)),
        _attribute(cudnn, "enabled", True),
        _attribute(cudnn, "benchmark", False),
        _attribute(cudnn, "deterministic", deterministic),
        _attribute(matmul, "allow_fp16_reduced_precision_reduction", True),
        _attribute(matmul, "allow_bf16_reduced_precision_reduction", True),
    ]
    for name, value in (("enabled", True), ("deterministic", deterministic)):
        if hasattr(mkldnn, name):
            switches.append(_attribute(mkldnn, name, value))
    if hasattr(matmul, "fp32_precision"):  # since 2.9; mixing it with the older names is an error
        switches += [
            _attribute(torch.backends, "fp32_precision", "none"),
            _attribute(cudnn, "fp32_precision", "none"),  # for all of CUDA, whatever its name
            _attribute(mkldnn, "fp32_precision", "none"),
            _attribute(cudnn.conv, "fp32_precision", "tf32"),
            _attribute(matmul, "fp32_precision", "none"),
            _attribute(mkldnn.matmul, "fp32_precision", "none"),
            _attribute(mkldnn.conv, "fp32_precision", "none"),
        ]
    else:
        switches += [
            _attribute(cudnn, "allow_tf32", True),
            (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        ]
    return switches


def _attribute(owner: Any, name: str, value: object) -> Switch:
    return (lambda: getattr(owner, name), lambda new: setattr(owner, name, new), value)


def _determinism() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _determine(mode: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(mode[0], warn_only=mode[1])


@contextmanager
def undisturbed(net: Supernet) -> Iterator[None]:
    """As `shielded`, in evaluation mode without TensorFloat-32 or cuDNN benchmarking. The net's
    mode is restored."""
    modes = [(module, module.training) for module in net.blocks.modules()]
    deterministic = torch.are_deterministic_algorithms_enabled()
    with shielded(), ExitStack() as stack:
        _hold(_exact(deterministic), stack)
        try:
            net.blocks.eval()
            yield
        finally:
            for module, training in modes:
                module.training = training


def _exact(deterministic: bool) -> list[Switch]:
    exact = [
        (_determinism, _determine, (deterministic, False)),
        _attribute(cudnn, "deterministic", True),
    ]
    if hasattr(matmul, "fp32_precision"):
        return [
            *exact,
            _attribute(cudnn.conv, "fp32_precision", "ieee"),
            _attribute(matmul, "fp32_precision", "ieee"),
        ]
    return [*exact, _attribute(cudnn, "allow_tf32", False), _attribute(matmul, "allow_tf32", False)]
