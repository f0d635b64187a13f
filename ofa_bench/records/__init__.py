"""Immutable records of runs, and the boards computed from them; free of torch."""

from __future__ import annotations

from ofa_bench.records.pareto import candidates_hash, summarise
from ofa_bench.records.schema import Record, sealed
from ofa_bench.records.store import Store, StoredRecord, read

__all__ = ["Record", "Store", "StoredRecord", "candidates_hash", "read", "sealed", "summarise"]
