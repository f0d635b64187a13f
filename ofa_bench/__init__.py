"""The public door: everything a plugin may import. Nothing here imports torch."""

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
    "sandwich",
]
