"""The public door: everything a plugin may import. Nothing here imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_bench.draws import Draw, Role, largest_only, sandwich
from ofa_bench.errors import BenchError, MisfitError, PluginError, PolicyError, UsageError
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.hooks.hookspecs import (
    Batch,
    Criterion,
    File,
    Outcome,
    RunView,
    Scores,
    Seen,
    Snapshot,
    Teacher,
    hookimpl,
)
from ofa_bench.hooks.policy import DistillPolicy, LrOptions, LrPolicy, Options, ShrinkPolicy
from ofa_bench.schedule import Budget, Duration, Phase, Schedule, Step
from ofa_bench.space import Space, Subnet, Table, Tally

if TYPE_CHECKING:
    from pathlib import Path

    from ofa_bench.deploy.model_folder.load import LoadedNet

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "BenchError",
    "Budget",
    "Catalogue",
    "Criterion",
    "DistillPolicy",
    "Draw",
    "Duration",
    "File",
    "LrOptions",
    "LrPolicy",
    "MisfitError",
    "Options",
    "Outcome",
    "Phase",
    "PluginError",
    "PolicyError",
    "Role",
    "RunView",
    "Schedule",
    "Scores",
    "Seen",
    "ShrinkPolicy",
    "Snapshot",
    "Space",
    "Step",
    "Subnet",
    "Table",
    "Tally",
    "Teacher",
    "UsageError",
    "hookimpl",
    "largest_only",
    "load",
    "sandwich",
]


def load(source: str | Path, revision: str | None = None, *, folded: bool = True) -> LoadedNet:
    """The network of a folder that `ofa-bench export` wrote: a plain torch module in evaluation
    mode, with `.transform` for Pillow images and `.classes`. Torch is imported here only.

    `folded`: batch norms are part of the convolutions, as measured; without, layers of their own.
    Raises UsageError where there is no such folder, or its files do not fit together.
    """
    from ofa_bench.deploy.model_folder.load import load as loaded

    return loaded(source, revision, folded=folded)
