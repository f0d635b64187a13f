"""The request that repeats a recorded run. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.planning.assemble import space_of
from ofa_bench.recipe import Request
from ofa_bench.records.schema import PolicyRecord, Record, own_hash
from ofa_bench.records.tables import restored
from ofa_bench.sanitize import command_line, command_words, plain_text
from ofa_bench.spec_files import load_toml, specs_root


def request_for(record: Record, catalogue: Catalogue, **execution: Any) -> Request:
    """A request with the record's science configuration and seed, on the same kind of device.

    `execution` has what a record cannot provide: `results`, `data_dir`, `init`, `teacher`, and the
    table of a `space` that is not installed. Names are looked up in the catalogue; no code or path
    of the record is used. Raises UsageError if the record was modified or imported, a plugin is
    missing, or initial weights or a table are needed and not named. A table that the record carries
    is expected in the catalogue, see `with_table`.
    """
    if own_hash(record) != record.sha256:
        raise UsageError(
            f"the record of {record.run.id} was changed after it was written",
            "`ofa-bench validate` names the field",
        )
    if record.status == "imported":
        raise UsageError(
            f"{record.run.id} was imported: there is no run to repeat",
            "name a record of a run of ofa-bench",
        )
    science = _with_table(record, execution.pop("space", None), catalogue)
    for kind, name, policy in _parts(record, science):
        if name not in catalogue.names(kind):
            maker = f" of {policy.distribution} {policy.version}" if policy is not None else ""
            raise UsageError(
                f"the record needs the {kind} {plain_text(name)!r}{plain_text(maker)}, "
                "which is not installed here",
                "install it from where you trust it, or name its file with --plugin FILE",
            )
    for name in ("init", "teacher"):
        if record.execution.get(name) and not execution.get(name):
            raise UsageError(
                "the run began with weights of its own: "
                f"{command_line(f'--{name}', record.execution[name])}",
                f"say where they lie here with --{name} FILE",
            )
    return Request(
        method=_lender(record, catalogue),
        seed=record.seed,
        device="cpu" if record.machine.device == "cpu" else "auto",
        deterministic=record.execution.get("deterministic") is True,
        init_head="fresh" if record.execution.get("init_head") == "fresh" else None,
        recorded={"science": science, "origins": record.origins},
        **execution,
    )


def with_table(record: Record, catalogue: Catalogue) -> Catalogue:
    """The catalogue, in which the space's name means the table that the record carries, if any.

    Raises UsageError where the table cannot be counted here, or is not the record's space.
    """
    described = record.task.space
    if described.table is None:
        return catalogue
    space = restored(described.name, described.table)
    if space.fingerprint() != described.fingerprint:
        raise UsageError(
            f"the table in the record of {record.run.id} is not of its space",
            "`ofa-bench validate` names the field",
        )
    return catalogue.replacing("space", described.name, space)


def _with_table(record: Record, table: str | None, catalogue: Catalogue) -> dict[str, Any]:
    """The science configuration, with a table named by the user instead of the recorded path."""
    if table is not None:
        fingerprint = space_of(table, catalogue).fingerprint()
        if fingerprint != record.task.space.fingerprint:
            raise UsageError(
                f"--space {table} is not the space of the record",
                f"the record's is {plain_text(record.task.space.name)}, "
                f"{plain_text(record.task.space.fingerprint)[:12]}",
            )
        return {**record.science, "space": table}
    if record.task.space.table is not None:
        return {**record.science, "space": record.task.space.name}
    path = str(record.science.get("space"))
    if path.endswith(".toml"):
        raise UsageError(
            f"science.space of the record is {plain_text(path)}: no path of a record is read",
            "name its table here with --space FILE",
        )
    return record.science


def _parts(
    record: Record, science: dict[str, Any]
) -> Iterator[tuple[str, str, PolicyRecord | None]]:
    """The catalogue entries that the run needs: kind, name, and the recorded policy if any."""
    method = record.method
    yield "dataset", str(science.get("dataset")), None
    if not str(science.get("space")).endswith(".toml"):
        yield "space", str(science.get("space")), None
    for family in ("shrink", "lr", "distill"):
        yield family, getattr(method, family).name, getattr(method, family)
    yield from (("extra", extra.name, extra) for extra in method.extras)
    if method.name != method.composition:
        yield "method", method.name, None


def _lender(record: Record, catalogue: Catalogue) -> str:
    """The method whose published length a composition uses, from the recorded command."""
    known = catalogue.names("method")
    if record.method.name in known:
        return record.method.name
    words = command_words(record.run.command) or []
    named = [after for word, after in pairwise(words) if word == "--method"]
    if named and named[-1] in known:
        return named[-1]
    return str(load_toml(specs_root() / "defaults.toml")["run"]["method"])
