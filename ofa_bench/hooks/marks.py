"""Checks that a plugin's hook methods are marked and spelled correctly."""

from __future__ import annotations

import difflib

from ofa_bench.errors import PluginError
from ofa_bench.hooks.hookspecs import PROJECT, TrainingSpec, hook_names

HOOKS = hook_names(TrainingSpec)


def check_marks(plugin: type, who: str) -> None:
    """Raise PluginError, naming the fix, on a misspelt hook or a hook method without its marker."""
    for odd, meant in misspelt(plugin).items():
        raise PluginError(f"{who} defines {odd}, which is no hook", f"did you mean {meant}?")
    for hook in HOOKS:
        method = getattr(plugin, hook, None)
        if method is not None and not hasattr(method, f"{PROJECT}_impl"):
            raise PluginError(
                f"{who} defines {hook} without marking it",
                f"put @hookimpl above {hook}: unmarked hooks are never called",
            )


def misspelt(plugin: type) -> dict[str, str]:
    """Public methods defined by a plugin whose name is close to a hook's, with that hook."""
    methods = {
        name
        for cls in plugin.__mro__
        if not cls.__module__.startswith(("ofa_bench.", "builtins"))
        for name, value in vars(cls).items()
        if callable(value) and not name.startswith("_") and name not in HOOKS
    }
    near = {
        name: difflib.get_close_matches(name, HOOKS, 1, cutoff=0.85) for name in sorted(methods)
    }
    return {name: matches[0] for name, matches in near.items() if matches}
