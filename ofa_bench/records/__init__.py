"""Immutable records of runs, and the boards computed from them; free of torch."""

from __future__ import annotations

from ofa_bench.records.schema import Record, sealed
from ofa_bench.records.store import Store, StoredRecord, read
from ofa_bench.records.summary import candidates_hash, summarise

__all__ = ["Record", "Store", "StoredRecord", "candidates_hash", "read", "sealed", "summarise"]
