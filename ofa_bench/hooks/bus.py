"""The run's bus: chosen policies, extras and observers, behind one typed method per hook.

The only caller of the pluggy relay. Every return value is validated here, so that an error names
the plugin, hook, step and phase instead of surfacing in the training loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from ofa_bench.draws import Draw
from ofa_bench.errors import BenchError, PluginError, PolicyError, suggest
from ofa_bench.hooks.catalogue import Origin
from ofa_bench.hooks.hookspecs import (
    PROJECT,
    Batch,
    Criterion,
    Seen,
    Teacher,
)
from ofa_bench.hooks.marks import HOOKS, check_marks
from ofa_bench.hooks.policy import Policy, families
from ofa_bench.hooks.tracebacks import author_traceback, holder, source_line
from ofa_bench.hooks.watchers import Announcer, Watchers, acting_part, at, relay
from ofa_bench.schedule import Budget, Phase, Step
from ofa_bench.space import Space, Subnet

if TYPE_CHECKING:
    from torch import Tensor


class Bus(Announcer):
    """One run's hooks. `policies` by family; extras and observers by name; `watchers`: the names of
    extras that do not affect training."""

    def __init__(
        self,
        policies: Mapping[str, Policy[Any]],
        extras: Mapping[str, object],
        origins: Mapping[str, Origin],
        watchers: frozenset[str] = frozenset(),
    ) -> None:
        self.policies = dict(policies)
        self.extras = dict(extras)
        self._origins = dict(origins)
        self._relay = relay()
        self.watchers = Watchers(self._who)
        for name, plugin in [*policies.items(), *extras.items()]:
            self._register(name, plugin, name in watchers)
        self._check_owners()
        self._hook = self._relay.hook

    def _register(self, name: str, plugin: object, watches: bool = False) -> None:
        check_marks(type(plugin), self._who(name))
        try:
            if watches:
                self.watchers.add(name, plugin)
            self._relay.register(acting_part(plugin) if watches else plugin, name)
            self._relay.check_pending()
        except pluggy.PluginValidationError as error:
            marked = [n for n in dir(plugin) if hasattr(getattr(plugin, n), f"{PROJECT}_impl")]
            wrong = next((n for n in marked if n not in HOOKS), "")
            raise PluginError(
                f"{self._who(name)}: {' '.join(str(error).split())}",
                suggest(wrong, sorted(HOOKS), "the hooks are"),
            ) from error

    def _check_owners(self) -> None:
        """Raise PluginError unless each family hook is implemented by its policy alone, and
        merge_gradients at most once."""
        owners = {hook: family for family, base in families().items() for hook in base.hooks}
        for hook in HOOKS:
            answering = [
                impl.plugin_name
                for impl in getattr(self._relay.hook, hook).get_hookimpls()
                if not (impl.hookwrapper or impl.wrapper)
            ]
            owner = owners.get(hook)
            others = [name for name in answering if name != owner] if owner else answering[1:]
            if owner and owner not in answering:
                raise PluginError(f"{self._who(owner)} does not define {hook}")
            if others and (owner or hook == "merge_gradients"):
                raise PluginError(
                    f"{hook} is answered by both {self._who(owner or answering[0])} and "
                    f"{self._who(others[0])}",
                    "only one may answer; the other can watch with @hookimpl(wrapper=True)",
                )

    @property
    def wrappers(self) -> list[str]:
        """Hook wrappers as "plugin: hook", for the record."""
        return sorted(
            f"{impl.plugin_name}: {hook}"
            for hook in HOOKS
            for impl in self._impls(hook)
            if impl.hookwrapper or impl.wrapper
        )

    def answers(self) -> list[tuple[str, str]]:
        """(hook, plugin name) of every implementation that is not a wrapper."""
        return [
            (hook, impl.plugin_name)
            for hook in sorted(HOOKS)
            for impl in self._impls(hook)
            if not (impl.hookwrapper or impl.wrapper)
        ]

    def _impls(self, hook: str) -> list[Any]:
        apart = list(self.watchers.impls(hook))
        return [*getattr(self._relay.hook, hook).get_hookimpls(), *apart]

    @property
    def merges(self) -> bool:
        """Whether an extra merges gradients, which needs one gradient per draw."""
        return bool(self._relay.hook.merge_gradients.get_hookimpls())

    def observe(self, name: str, observer: object) -> None:
        """Add an observer of the training loop."""
        self._register(name, observer)

    def monitor(self, before: Any, after: Any) -> None:
        """Call around every hook call, for tracing."""
        self._relay.add_hookcall_monitoring(before, after)
        self.watchers.monitor(before, after)

    def _who(self, name: str) -> str:
        plugin = self.policies.get(name) or self.extras.get(name)
        label = f"{name} policy {type(plugin).__name__}" if name in self.policies else name
        origin = self._origins.get(name)
        return f"{label} ({origin})" if origin else label

    def _ask(self, hook: str, where: str, owner: str, **values: Any) -> Any:
        answer = self._call(hook, where, owner, **values)
        if answer is None:
            raise PolicyError(
                f"{self._who(owner)} answered {hook} with None {where}", "return a value"
            )
        return answer

    def _call(self, hook: str, where: str, owner: str, **values: Any) -> Any:
        try:
            return getattr(self._hook, hook)(**values)
        except BenchError:
            raise
        except Exception as error:
            raise self._failed(hook, where, error, holder(error, self._plugins) or owner) from error

    def _failed(self, hook: str, where: str, error: Exception, owner: str) -> PolicyError:
        line = source_line(error)
        failed = PolicyError(
            f"{self._who(owner)} failed in {hook} {where}: {type(error).__name__}: {error}"
            + (f" ({line})" if line else ""),
            f"fix the plugin; docs/hooks.md lists the arguments and return value of {hook}",
        )
        if lines := author_traceback(error):
            failed.add_note(f"{lines}\n{type(error).__name__}: {error}")
        return failed

    @property
    def _plugins(self) -> dict[str, object]:
        return {**self.policies, **self.extras}

    def phases(self, space: Space, budget: Budget) -> tuple[Phase, ...]:
        """The run's phases. Raises PolicyError unless their epochs sum to the budget."""
        values = {"space": space, "budget": budget}
        phases = tuple(self._ask("shrink_phases", "at assembly", "shrink", **values))
        for phase in phases:
            if not isinstance(phase, Phase):
                raise PolicyError(f"{self._who('shrink')}: {phase!r} is not a Phase")
            if not 0 < phase.epochs < math.inf:
                raise PolicyError(
                    f"{self._who('shrink')}: phase {phase.name!r} lasts {phase.epochs} epochs",
                    "lengths must be positive",
                )
        total = sum(phase.epochs for phase in phases)
        if not math.isclose(total, budget.epochs, rel_tol=1e-6):
            raise PolicyError(
                f"{self._who('shrink')}: phases last {total:g} epochs of a budget of "
                f"{budget.epochs:g}",
                "phases must sum to budget.epochs; budget.scaled(n) scales published lengths",
            )
        if len({phase.name for phase in phases}) < len(phases):
            raise PolicyError(f"{self._who('shrink')}: two phases have one name")
        return phases

    def draws(self, step: Step, probe: Callable[[Subnet], float]) -> list[Draw]:
        """The step's draws, in training order; `probe` returns a subnet's label loss."""
        draws = list(self._ask("shrink_draws", at(step), "shrink", step=step, probe=probe))
        if not draws or not all(isinstance(draw, Draw) for draw in draws):
            raise PolicyError(
                f"{self._who('shrink')}: shrink_draws gave {draws!r} {at(step)}",
                "return a list of Draw, at least one",
            )
        return draws

    def lr_at(self, step: Step) -> float:
        return self._rate("lr_at", step)

    def lr_share(self, step: Step, draw: Draw) -> float:
        """A draw's weight in the summed gradient."""
        return self._rate("lr_share", step, draw=draw)

    def _rate(self, hook: str, step: Step, **values: Any) -> float:
        value = self._ask(hook, at(step), "lr", step=step, **values)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise PolicyError(
                f"{self._who('lr')}: {hook} is {value!r} {at(step)}",
                "rates are finite and not negative",
            )
        return float(value)

    def teacher(self, phase: Phase, earlier: Sequence[Phase]) -> Teacher | None:
        """The phase's frozen teacher, if any."""
        where = f"for phase {phase.name!r}"
        values = {"phase": phase, "earlier": earlier}
        teacher: Teacher | None = self._call("distill_teacher", where, "distill", **values)
        return teacher

    def loss(
        self,
        step: Step,
        draw: Draw,
        logits: Tensor,
        batch: Batch,
        seen: Seen,
        criterion: Criterion,
    ) -> Tensor:
        """A draw's loss on one micro-batch."""
        values = {"draw": draw, "logits": logits, "batch": batch, "seen": seen}
        loss: Tensor = self._ask(
            "distill_loss", at(step), "distill", step=step, criterion=criterion, **values
        )
        if getattr(loss, "ndim", None) != 0 or not loss.requires_grad:
            raise PolicyError(
                f"{self._who('distill')}: the loss of {draw.role} {at(step)} is no scalar with a "
                "gradient",
                "return a mean over samples computed from `logits`",
            )
        return loss

    def merge(
        self,
        step: Step,
        draws: Sequence[Draw],
        grads: Tensor,
        active: Tensor,
        shares: Sequence[float],
    ) -> Tensor:
        """The step's gradient [parameters], merged from `grads` [draws, parameters]."""
        owner = self._relay.hook.merge_gradients.get_hookimpls()[0].plugin_name
        values = {"draws": draws, "grads": grads, "active": active, "shares": shares}
        merged: Tensor = self._ask("merge_gradients", at(step), owner, step=step, **values)
        if merged.shape != grads.shape[1:]:
            raise PolicyError(
                f"{self._who(owner)}: the merged gradient has shape {tuple(merged.shape)} "
                f"{at(step)}",
                f"return one of shape {tuple(grads.shape[1:])}",
            )
        return merged

    def _tell(self, hook: str, where: str, **values: Any) -> None:
        """Call every observer. An exception becomes a PolicyError naming the plugin in whose code
        it was raised; a watcher's is logged and the run continues."""
        try:
            getattr(self._hook, hook)(**values)
        except BenchError:
            raise
        except Exception as error:
            culprit = holder(error, self._plugins) or "an observer"
            raise self._failed(hook, where, error, culprit) from error
        self.watchers.call(hook, where, values)
