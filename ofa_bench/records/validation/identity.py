"""Whether a record's ids follow from what it says was run."""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench.recipe.fingerprint import decoder_id, hashed_science, row_id, run_id
from ofa_bench.recipe.load import FAMILIES
from ofa_bench.records.schema import Record
from ofa_bench.records.track import table
from ofa_bench.records.validation.findings import Finding

# Hashes of the shipped network's code in the versions that wrote records without `identity`, which
# do not say what their row id was hashed from: `package_hash("ofa_bench.nets")` under Python 3.11
# at these commits.
NETWORKS = {
    "276b3b2f83cf497b051f5eb3296d13592bcbc60787d9445dd86e145e533b4975": "fc33320d",
    "7a1480f588d67dcd780345c102f2ccd8e7c32f39ecaea861bac1d7046f5a7790": "036d08a5",
    "bcf9fdc8623e654855f49167154119294f23e91a60aa813d7264d48aecd4ff7b": "7f217b99",
}
NUMERICS = "1"  # the engine's arithmetic in all of those versions


def identity_findings(record: Record) -> Iterator[Finding]:
    """`run_id` from `row_id`, and that from the record's science, code and data."""
    if run_id(record.row_id, record.seed) != record.run_id:
        yield Finding("run_id", "does not follow from row_id and seed")
    row = recomputed(record)
    if row is None:
        if record.row_id not in earlier(record):
            yield Finding("row_id", "does not follow from the record's science, code and data")
        if record.task.decoder is not None:
            yield Finding("task.decoder", "is of a later date than the record: identity is missing")
        return
    if row != record.row_id:
        yield Finding("row_id", "does not follow from the record's science, code and data")
    yield from _code(record)
    yield from _files(record)


def _code(record: Record) -> Iterator[Finding]:
    """The hashes in `identity` are those of the policies and the space that the record shows."""
    identity = record.identity
    pairs = [part.partition(":") for part in identity.code] if identity else []
    named = {name: digest for name, _, digest in pairs}
    if len(named) != len(pairs):
        yield Finding("identity.code", "names a part twice")
    known = sources(record) | {"space": record.task.space.fingerprint} | _decoder(record)
    for name in (*FAMILIES, "space", "network", *_decoder(record)):
        if name not in named:
            yield Finding("identity.code", f"lacks the hash of the {name}")
    for name, digest in named.items():
        if name != "network" and known.get(name) != digest:
            yield Finding("identity.code", f"has another hash of {name!r} than the record")


def _decoder(record: Record) -> dict[str, str]:
    decoder = record.task.decoder
    return {"decoder": decoder_id(**decoder.model_dump())} if decoder else {}


def _files(record: Record) -> Iterator[Finding]:
    files = record.identity.files if record.identity else {}
    for name in ("init", "teacher"):
        if bool(record.execution.get(name)) != (name in files):
            yield Finding("identity.files", f"and execution disagree on --{name}")
    adoption = record.adoption
    if (record.status == "imported") != (adoption is not None):
        yield Finding("adoption", f"does not go with status {record.status}")
    if (adoption.sha256 if adoption else None) != files.get("adopted"):
        yield Finding("identity.files", "and adoption disagree on the adopted weights")
    if record.ancestor is not None and "init" not in files:
        yield Finding("ancestor", "is there in a run that began with no weights")
    eps = table(record.science, "net").get("norm_eps")
    if adoption is not None and adoption.norm_eps != eps:
        yield Finding("adoption.norm_eps", f"is {adoption.norm_eps}, the science says {eps}")


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
        hashes |= {name: policy.source.hash for name, policy in record.method.policies.items()}
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
    named = {**method.policies, **{extra.name: extra for extra in method.extras}}
    return {name: policy.source.hash for name, policy in named.items()}
