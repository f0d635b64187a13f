"""A record's row id computed again from what the record itself says. Torch-free."""

from __future__ import annotations

from ofa_bench.recipe.fingerprint import hashed_science, row_id
from ofa_bench.records.schema import Record

FAMILIES = ("shrink", "lr", "distill")

# Hashes of the shipped network's code in the versions that wrote records without `identity`, which
# do not say what their row id was hashed from: `package_hash("ofa_bench.nets")` under Python 3.11
# at these commits.
NETWORKS = {
    "276b3b2f83cf497b051f5eb3296d13592bcbc60787d9445dd86e145e533b4975": "fc33320d",
    "7a1480f588d67dcd780345c102f2ccd8e7c32f39ecaea861bac1d7046f5a7790": "036d08a5",
    "bcf9fdc8623e654855f49167154119294f23e91a60aa813d7264d48aecd4ff7b": "7f217b99",
}
NUMERICS = "1"  # the engine's arithmetic in all of those versions


def recomputed(record: Record) -> str | None:
    """The row id that follows from a record's science, code, files and data.

    None for a record from before `identity` was kept: see `earlier`.
    """
    identity = record.identity
    if identity is None:
        return None
    named = {part.partition(":")[0] for part in identity.code}
    acting = [name for name in record.science.get("extras", ()) if name in named]
    files = {str(name): digest for name, digest in identity.files.items()}
    science = hashed_science(record.science, record.task.space.name, acting, files)
    return row_id(science, identity.code, record.task.dataset_hash, identity.numerics)


def earlier(record: Record) -> set[str]:
    """The row ids that a record from before `identity` can have: one for each version of the
    shipped network, with all of its extras acting or with none."""
    task, extras = record.task, [extra.name for extra in record.method.extras]
    row_ids = set()
    for acting in (extras, []):
        hashes = {name: code for name, code in sources(record).items() if name in acting}
        hashes |= {family: getattr(record.method, family).source.hash for family in FAMILIES}
        code = [f"{name}:{digest}" for name, digest in hashes.items()]
        code.append(f"space:{task.space.fingerprint}")
        science = hashed_science(record.science, task.space.name, acting, {})
        for network in NETWORKS:
            parts = [*code, f"network:{network}"]
            row_ids.add(row_id(science, parts, task.dataset_hash, NUMERICS))
    return row_ids


def sources(record: Record) -> dict[str, str]:
    """The hash of the code of each policy and extra, by family or name."""
    method = record.method
    named = {family: getattr(method, family) for family in FAMILIES}
    named |= {extra.name: extra for extra in method.extras}
    return {name: policy.source.hash for name, policy in named.items()}
