"""A record's row id computed again from what the record itself says. Torch-free."""

from __future__ import annotations

from ofa_bench.recipe.fingerprint import hashed_science, row_id
from ofa_bench.records.schema import Record


def recomputed(record: Record) -> str | None:
    """The row id that follows from a record's science, code, files and data.

    None for a record from before `identity` was kept: its row id cannot be checked.
    """
    identity = record.identity
    if identity is None:
        return None
    named = {part.partition(":")[0] for part in identity.code}
    acting = [name for name in record.science.get("extras", ()) if name in named]
    science = hashed_science(record.science, record.task.space.name, acting, identity.files)
    return row_id(science, identity.code, record.task.dataset_hash, identity.numerics)
