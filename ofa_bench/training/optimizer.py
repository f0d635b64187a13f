"""The optimizer, whose parameters join when a phase first trains them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ofa_bench.recipe.models import Optim


class Optimizer:
    """A torch optimizer whose groups are (cohort, decayed or not).

    A parameter that no subnet has used so far is in no group, so that weight decay and momentum do
    not change it. Parameters that join together form a group of their own, since a fused kernel
    requires the momentum buffers of a group to exist for all or none of its parameters.
    """

    def __init__(
        self, optim: Optim, parameters: Mapping[str, nn.Parameter], decays: Callable[[str], bool]
    ) -> None:
        self._optim = optim
        self._parameters = parameters
        self._decays = decays
        self.cohorts: list[list[str]] = []
        self.torch: torch.optim.Optimizer | None = None

    def restart(self) -> None:
        """Discard all state and groups; parameters have to join again."""
        self.cohorts, self.torch = [], None

    def join(self, names: Iterable[str]) -> None:
        """Add the parameters that have not joined yet."""
        known = {name for cohort in self.cohorts for name in cohort}
        wanted = set(names)
        cohort = [n for n in self._parameters if n in wanted and n not in known]
        if not cohort:
            return
        self.cohorts.append(cohort)
        for decayed in (True, False):
            members = [self._parameters[n] for n in cohort if self._decays(n) == decayed]
            if not members:
                continue
            group = {
                "params": members,
                "weight_decay": self._optim.weight_decay if decayed else 0.0,
            }
            if self.torch is None:
                self.torch = self._make(group)
            else:
                self.torch.add_param_group(group)

    def _make(self, group: dict[str, Any]) -> torch.optim.Optimizer:
        optim = self._optim
        if optim.name == "rmsprop":
            return without_compiler(torch.optim.RMSprop)(
                [group],
                lr=0.0,
                alpha=optim.rms_alpha,
                eps=optim.rms_eps,
                momentum=optim.momentum,
                foreach=True,
            )
        nesterov = optim.nesterov and optim.momentum > 0
        return without_compiler(torch.optim.SGD)(
            [group], lr=0.0, momentum=optim.momentum, nesterov=nesterov, fused=True
        )

    def rate(self, lr: float) -> None:
        """Set the learning rate of the next update."""
        assert self.torch is not None, "no parameter has joined"
        for group in self.torch.param_groups:
            group["lr"] = lr

    def step(self, lr: float, scaler: torch.amp.GradScaler | None = None) -> None:
        """Update the parameters; with a scaler not where it found gradients that overflowed."""
        self.rate(lr)
        assert self.torch is not None
        if scaler is None:
            self.torch.step()
        else:
            scaler.step(self.torch)

    def buffers(self, name: str) -> list[torch.Tensor]:
        """A parameter's state tensors of the same shape, which a channel sort permutes too."""
        if self.torch is None:
            return []
        parameter = self._parameters[name]
        state = self.torch.state.get(parameter, {})
        return [
            value
            for value in state.values()
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape
        ]

    def state_dict(self) -> dict[str, Any]:
        """Cohorts and torch's own state."""
        return {
            "cohorts": self.cohorts,
            "torch": self.torch.state_dict() if self.torch is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Rebuild the groups and load their state. Raises ValueError if they do not match the
        recipe, or tensors have other shapes."""
        self.restart()
        for cohort in state["cohorts"]:
            self.join(cohort)
        if self.cohorts != [list(cohort) for cohort in state["cohorts"]]:
            raise ValueError("its optimizer has parameters that the network lacks")
        if self.torch is None:
            return
        before = [_settings(group) for group in self.torch.param_groups]
        self.torch.load_state_dict(state["torch"])
        if [_settings(group) for group in self.torch.param_groups] != before:
            raise ValueError("its optimizer settings differ from the recipe")
        for parameter, values in self.torch.state.items():
            for value in values.values():
                sized = isinstance(value, torch.Tensor) and value.ndim
                if sized and value.shape != parameter.shape:
                    raise ValueError("its optimizer holds tensors of other shapes")


def without_compiler(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The optimizer without torch's guards against `torch.compile`, which nothing here uses: the
    first guard that is called imports the whole compiler, 1.4 s of every start."""
    guarded = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    plain: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    plain["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), plain)


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group's settings except the learning rate, which every step sets."""
    return {name: value for name, value in group.items() if name not in ("params", "lr")}
