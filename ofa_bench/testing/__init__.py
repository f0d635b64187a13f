"""The contract a plugin keeps, for its author's tests and for `ofa-bench plugin check`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ofa_bench.testing.check import check_plugin, contract
    from ofa_bench.testing.verdict import ContractReport, Verdict

__all__ = ["ContractReport", "Verdict", "check_plugin", "contract"]


def __getattr__(name: str) -> Any:
    """Imported when asked for: the second process, a module of this package, sees which heavy
    libraries a plugin imports, and must have none itself."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "verdict" if name in ("ContractReport", "Verdict") else "check"
    return getattr(import_module(f"{__name__}.{module}"), name)
