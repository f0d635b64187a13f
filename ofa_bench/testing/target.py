"""The target of a check: an installed plugin, a file, a module, a class or a catalogue name."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ofa_bench.errors import UnknownName, UsageError
from ofa_bench.hooks.catalogue import Catalogue, Discovery, Entry, Origin, discover
from ofa_bench.hooks.hookspecs import TrainingSpec, hook_names
from ofa_bench.hooks.plugin_file import load_file
from ofa_bench.hooks.policy import families

KINDS = (
    *("method", "shrink", "lr", "distill", "extra", "space", "dataset", "supernet"),
    *("searcher", "device", "exporter", "launcher", "proxy"),
)


@dataclass(frozen=True)
class Subject:
    """A plugin's entries and the catalogue that contains them, or the error of its registration.

    `file`: the path of a single-file plugin. `options`: those of a policy passed as an instance.
    `code`: the module that could not be registered, if it could be imported.
    """

    name: str
    origin: Origin
    catalogue: Catalogue
    entries: tuple[Entry, ...] = ()
    file: str = ""
    options: tuple[str, ...] = ()
    trouble: str = ""
    error: BaseException | None = None
    code: Any = None


def find(target: Any) -> Subject:
    """The plugin of a name, path, module, class or instance. Raises UnknownName if none has it."""
    if isinstance(target, Path) or (isinstance(target, str) and target.endswith(".py")):
        return _in_file(Path(target))
    if isinstance(target, str):
        return _named(target)
    if isinstance(target, ModuleType):
        return _admitted(target, Origin(target.__name__))
    return _of_class(target)


def _in_file(path: Path) -> Subject:
    try:
        module, origin = load_file(path)
    except UsageError as error:
        if not path.is_file():
            raise
        origin = Origin(path.stem, file=str(path))
        return Subject(path.stem, origin, Catalogue(), (), str(path), (), error.message, error)
    return _admitted(module, origin, str(path))


def _admitted(module: object, origin: Origin, file: str = "") -> Subject:
    discovery = Discovery(_everything())
    try:
        discovery.admit(module, origin)
    except (Exception, SystemExit) as error:
        trouble = f"{type(error).__name__}: {error}"
        return Subject(
            origin.plugin, origin, discovery.catalogue, (), file, (), trouble, error, module
        )
    entries = tuple(entry for entry in discovery.catalogue if entry.origin is origin)
    return Subject(origin.plugin, origin, discovery.catalogue, entries, file)


def _everything() -> Catalogue:
    catalogue = Catalogue()
    catalogue.merge(discover().catalogue)
    return catalogue


def _named(name: str) -> Subject:
    """A plugin by its name or its distribution's; else whatever of its name the catalogue has."""
    plugins, catalogue = discover().plugins, discover().catalogue
    plain = name.removeprefix("ofa-bench-")
    known = [
        f for f in plugins if f.origin.plugin in (name, plain) or f.origin.distribution == name
    ]
    for row in known[:1]:
        trouble = f"{row.status}: {row.reason}" if row.status != "loaded" else ""
        entries = tuple(entry for entry in catalogue if entry.origin == row.origin)
        return Subject(row.origin.plugin, row.origin, catalogue, entries, trouble=trouble)
    entries = tuple(entry for entry in catalogue if entry.name == name and entry.kind in KINDS)
    if entries:
        return Subject(name, entries[0].origin, catalogue, entries)
    names = {row.origin.plugin for row in plugins} | {e.name for e in catalogue if e.kind in KINDS}
    raise UnknownName("plugin", name, names)


def _of_class(thing: Any) -> Subject:
    cls = thing if inspect.isclass(thing) else type(thing)
    hooks = hook_names(TrainingSpec)
    kind = getattr(cls, "family", None) or ("extra" if any(hasattr(cls, h) for h in hooks) else "")
    if kind not in (*families(), "extra"):
        raise UsageError(
            f"{cls.__name__} is neither a policy nor an extra",
            "derive it from ShrinkPolicy, LrPolicy or DistillPolicy, or mark its hooks @hookimpl",
        )
    options: tuple[str, ...] = ()
    if thing is not cls and kind in families():
        values = thing.options.model_dump(mode="json")
        options = tuple(f"{kind}.{name}={json.dumps(value)}" for name, value in values.items())
    origin = Origin("notebook")
    addition, catalogue = Catalogue(origin), _everything()
    if kind == "extra":
        addition.extra(cls.__name__, cls, affects_training=hasattr(cls, "merge_gradients"))
    else:
        getattr(addition, kind)(cls.__name__, cls)
    catalogue.merge(addition)
    return Subject(cls.__name__, origin, catalogue, tuple(addition), options=options)
