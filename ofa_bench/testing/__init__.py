"""The contract a plugin keeps, for its author's tests and for `ofa-bench plugin check`."""

from __future__ import annotations

from ofa_bench.testing.check import check_plugin, contract
from ofa_bench.testing.verdict import ContractReport, Verdict

__all__ = ["ContractReport", "Verdict", "check_plugin", "contract"]
