"""`ofa-bench list`: what may be named in a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option

Row = dict[str, Any]


@click.command()
@click.argument(
    "kind",
    required=False,
    metavar="[KIND]",
    type=click.Choice(
        ["methods", "shrink", "lr", "distill", "extras", "spaces", "datasets", "plugins"]
    ),
)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """List what may be named in a command.

    KIND: methods, shrink, lr, distill, extras, spaces, datasets or plugins; all of them without.
    """
    kinds = [kind] if kind else list(LISTS)
    found = {name: LISTS[name]() for name in kinds}
    if as_json:
        console.answer(found)
        return
    for place, (name, rows) in enumerate(found.items()):
        if place:
            console.say()
        if not rows:
            console.say(f"{name}: none")
            continue
        titles = list(rows[0])
        console.table(titles, [[_cell(row[title]) for title in titles] for row in rows], name)


def _cell(value: Any) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _methods() -> list[Row]:
    return [
        {
            "name": entry.name,
            **{family: entry.about[family] for family in ("shrink", "lr", "distill")},
            "paper": entry.about["paper"],
            "plugin": str(entry.origin),
        }
        for entry in _entries("method")
    ]


def _policies(kind: str) -> Callable[[], list[Row]]:
    def rows() -> list[Row]:
        return [
            {"name": entry.name, "class": _target(entry.target), "plugin": str(entry.origin)}
            for entry in _entries(kind)
        ]

    return rows


def _target(target: Any) -> str:
    if isinstance(target, str):
        return target
    return f"{target.__module__}:{getattr(target, '__qualname__', type(target).__name__)}"


def _spaces() -> list[Row]:
    from ofa_bench.engine.assemble import space_of

    rows = []
    for entry in _entries("space"):
        space = space_of(entry.name, _catalogue())
        rows.append(
            {
                "name": entry.name,
                "nets": space.count,
                "resolutions": list(space.listed),
                "summary": space.table.summary,
            }
        )
    return rows


def _datasets() -> list[Row]:
    from ofa_bench.engine.assemble import spec_of

    rows = []
    for entry in _entries("dataset"):
        spec = spec_of(entry.name, _catalogue())
        rows.append(
            {
                "name": spec.name,
                "classes": spec.classes,
                "train": spec.train_total,
                "test": spec.test,
                "space": spec.space,
                "summary": spec.summary,
            }
        )
    return rows


def _plugins() -> list[Row]:
    from ofa_bench.catalogue import discover

    return [
        {
            "name": found.origin.plugin,
            "status": found.status,
            "distribution": found.origin.distribution,
            "version": found.origin.version,
            "reason": found.reason,
        }
        for found in discover().found
    ]


def _catalogue() -> Any:
    from ofa_bench.catalogue import discover

    return discover().catalogue


def _entries(kind: str) -> list[Any]:
    catalogue = _catalogue()
    return [catalogue.get(kind, name) for name in catalogue.names(kind)]


LISTS: dict[str, Callable[[], list[Row]]] = {
    "methods": _methods,
    "shrink": _policies("shrink"),
    "lr": _policies("lr"),
    "distill": _policies("distill"),
    "extras": _policies("extra"),
    "spaces": _spaces,
    "datasets": _datasets,
    "plugins": _plugins,
}
