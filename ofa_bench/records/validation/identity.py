"""Whether a record's ids follow from what it says was run."""

from __future__ import annotations

from collections.abc import Iterator

from ofa_bench.recipe.fingerprint import decoder_id, run_id
from ofa_bench.records.schema import Record
from ofa_bench.records.track import table
from ofa_bench.records.validation.findings import Finding
from ofa_bench.records.validation.row_id import FAMILIES, earlier, recomputed, sources


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
