"""`ofa-bench list`: what may be named in a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import options

if TYPE_CHECKING:
    from ofa_bench.hooks.catalogue import Discovery

Row = dict[str, Any]


def _cell(value: Any) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _methods(known: Discovery) -> list[Row]:
    return [
        {
            "name": entry.name,
            **{family: entry.about[family] for family in ("shrink", "lr", "distill")},
            "paper": entry.about["paper"],
            "plugin": str(entry.origin),
        }
        for entry in _entries(known, "method")
    ]


def _policies(kind: str) -> Callable[[Discovery], list[Row]]:
    def rows(known: Discovery) -> list[Row]:
        return [
            {"name": entry.name, "class": _target(entry.target), "plugin": str(entry.origin)}
            for entry in _entries(known, kind)
        ]

    return rows


def _target(target: Any) -> str:
    if isinstance(target, str):
        return target
    return f"{target.__module__}:{getattr(target, '__qualname__', type(target).__name__)}"


def _spaces(known: Discovery) -> list[Row]:
    from ofa_bench.planning.assemble import space_of

    spaces = {name: space_of(name, known.catalogue) for name in known.catalogue.names("space")}
    return [
        {
            "name": name,
            "nets": space.count,
            "resolutions": list(space.listed),
            "summary": space.table.summary,
        }
        for name, space in spaces.items()
    ]


def _datasets(known: Discovery) -> list[Row]:
    from ofa_bench.planning.assemble import spec_of

    specs = [spec_of(name, known.catalogue) for name in known.catalogue.names("dataset")]
    return [
        {
            "name": spec.name,
            "classes": spec.classes,
            "train": spec.train_total,
            "test": spec.test,
            "space": spec.space,
            "summary": spec.summary,
        }
        for spec in specs
    ]


def _plugins(known: Discovery) -> list[Row]:
    return [
        {
            "name": plugin.origin.plugin,
            "status": plugin.status,
            "distribution": plugin.origin.distribution or plugin.origin.file,
            "version": plugin.origin.version,
            "reason": plugin.reason,
        }
        for plugin in known.plugins
    ]


def _known(files: tuple[str, ...]) -> Discovery:
    """What is installed, and what single-file plugins add."""
    from ofa_bench.hooks.catalogue import Catalogue, Discovery, discover
    from ofa_bench.hooks.plugin_file import load_file

    installed = discover()
    if not files:
        return installed
    known = Discovery(Catalogue(), [*installed.plugins])
    known.catalogue.merge(installed.catalogue)
    for file in files:
        known.admit(*load_file(Path(file)))
    return known


def _entries(known: Discovery, kind: str) -> list[Any]:
    return [known.catalogue.get(kind, name) for name in known.catalogue.names(kind)]


LISTS: dict[str, Callable[[Discovery], list[Row]]] = {
    "methods": _methods,
    "shrink": _policies("shrink"),
    "lr": _policies("lr"),
    "distill": _policies("distill"),
    "extras": _policies("extra"),
    "searchers": _policies("searcher"),
    "devices": _policies("device"),
    "exporters": _policies("exporter"),
    "launchers": _policies("launcher"),
    "proxies": _policies("proxy"),
    "spaces": _spaces,
    "datasets": _datasets,
    "networks": _policies("supernet"),
    "plugins": _plugins,
}


@click.command()
@click.argument("kind", required=False, metavar="[KIND]", type=click.Choice(list(LISTS)))
@options("plugins", "json")
def command(kind: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List what may be named in a command.

    KIND: methods, shrink, lr, distill, extras, searchers, devices, exporters, launchers, proxies,
    spaces, datasets, networks or plugins; all of them without.
    """
    kinds = [kind] if kind else list(LISTS)
    known = _known(plugins)
    rows_by_kind = {name: LISTS[name](known) for name in kinds}
    if as_json:
        console.answer(rows_by_kind)
        return
    for index, (name, rows) in enumerate(rows_by_kind.items()):
        if index:
            console.say()
        if not rows:
            console.say(f"{name}: none")
            continue
        titles = list(rows[0])
        console.table(titles, [[_cell(row[title]) for title in titles] for row in rows], name)
