"""The catalogue of names that plugins register, and plugin discovery: one broken plugin does not
affect the others."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from ofa_bench.errors import PluginError, UnknownName
from ofa_bench.hooks.hookspecs import PROJECT, CatalogueSpec
from ofa_bench.spec_files import specs_root

GROUP = "ofa_bench"
OURS = "ofa-bench"  # the distribution that everything bundled is of
API = "1"  # raised when a hook or a public name that was announced to go is gone
NARROWED = "OFA_BENCH_PLUGINS"  # names, between commas, of the plugins or distributions to load


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from: its name, distribution and version, or its file."""

    plugin: str
    distribution: str = ""
    version: str = ""
    file: str = ""

    def __str__(self) -> str:
        if self.file:
            return self.file
        return f"{self.distribution} {self.version}".strip() or self.plugin


@dataclass(frozen=True)
class Entry:
    """A name in the catalogue. `target` is a class or factory, or where to import it from."""

    kind: str
    name: str
    target: Any
    origin: Origin
    about: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """Import and return the class or factory. Raises PluginError naming the plugin."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise PluginError(
                f"{self.kind} {self.name!r} of {self.origin} cannot be loaded from "
                f"{self.target}: {type(error).__name__}: {error}",
                "fix the plugin, or leave it out with OFA_BENCH_PLUGINS",
            ) from error


class Catalogue:
    """Entries by kind and name. Registering a name twice raises PluginError naming both plugins."""

    def __init__(self, origin: Origin | None = None) -> None:
        self.origin = origin or Origin("notebook")
        self.entries: dict[tuple[str, str], Entry] = {}
        self.folders: list[tuple[Origin, Path]] = []

    def shrink(self, name: str, target: Any) -> None:
        """A shrink policy: "package.module:Class", or the class."""
        self._add("shrink", name, target)

    def lr(self, name: str, target: Any) -> None:
        """A learning-rate policy."""
        self._add("lr", name, target)

    def distill(self, name: str, target: Any) -> None:
        """A distillation policy."""
        self._add("distill", name, target)

    def method(
        self,
        name: str,
        *,
        shrink: str,
        lr: str,
        distill: str,
        presets: Mapping[str, Any] | None = None,
        paper: str = "",
    ) -> None:
        """A bundle of three policies and the recipe values that go with them."""
        about = {"shrink": shrink, "lr": lr, "distill": distill}
        self._add("method", name, None, {**about, "presets": presets or {}, "paper": paper})

    def extra(self, name: str, target: Any, *, affects_training: bool = False) -> None:
        """A tracker or a gradient transform, chosen with `--with NAME`."""
        self._add("extra", name, target, {"affects_training": affects_training})

    def space(self, name: str, table: str | Path) -> None:
        """An architecture space: the path of its TOML table."""
        self._add("space", name, Path(table))

    def dataset(self, name: str, spec: str | Path) -> None:
        """A data set: the path of its TOML spec, which describes the layout of its images."""
        self._add("dataset", name, Path(spec))

    def searcher(self, name: str, target: Any) -> None:
        """What proposes the subnets that a search evaluates, see docs/deploy.md."""
        self._add("searcher", name, target)

    def device(self, name: str, target: Any) -> None:
        """What measures the latency of an extracted block or net, see docs/deploy.md."""
        self._add("device", name, target)

    def exporter(self, name: str, target: Any) -> None:
        """What writes an extracted subnet in a file format, see docs/deploy.md."""
        self._add("exporter", name, target)

    def launcher(self, name: str, target: Any) -> None:
        """What hands families of runs to a cluster or to other machines, see docs/cluster.md."""
        self._add("launcher", name, target)

    def proxy(self, name: str, target: Any) -> None:
        """What ranks untrained subnets at no cost, see docs/hooks.md."""
        self._add("proxy", name, target)

    def supernet(self, family: str, target: Any, *, costs: Any = None) -> None:
        """A network for tables of a family: `build(space, classes, seed=…, **options)`.

        `costs` counts the MACs and parameters of its subnets, see docs/own-network.md; a family
        without it costs what the shipped one does.
        """
        self._add("supernet", family, target, {"costs": costs})

    def specs(self, folder: str | Path) -> None:
        """Register a folder laid out like `specs/`, with `spaces/`, `datasets/` and `recipes/`."""
        root = Path(folder)
        self.folders.append((self.origin, root))
        for kind, subfolder in (("space", "spaces"), ("dataset", "datasets")):
            for path in sorted((root / subfolder).glob("*.toml")):
                self._add(kind, path.stem, path)

    def _add(
        self, kind: str, name: str, target: Any, about: Mapping[str, Any] | None = None
    ) -> None:
        legal = name[:1].isalnum() and all(c.isalnum() or c in "-_." for c in name)
        # A policy of letters that look like another's would pass for it on a board.
        if not legal or not (name.isascii() or kind in ("space", "dataset")):
            raise PluginError(f"{self.origin} gives {kind} an illegal name: {name!r}")
        self._insert(Entry(kind, name, target, self.origin, about or {}))

    def _insert(self, entry: Entry) -> None:
        key = (entry.kind, entry.name)
        if key in self.entries:
            other = self.entries[key].origin
            raise PluginError(
                f"{entry.kind} {entry.name!r} is given by both {other} and {entry.origin}",
                f"uninstall one, or name the plugins to load: OFA_BENCH_PLUGINS={other.plugin}",
            )
        self.entries[key] = entry

    def merge(self, other: Catalogue) -> None:
        """Add another catalogue's entries; on a conflict none is added."""
        before = dict(self.entries)
        try:
            for entry in other.entries.values():
                self._insert(entry)
        except PluginError:
            self.entries = before
            raise
        self.folders += other.folders

    def names(self, kind: str) -> list[str]:
        """Sorted names of a kind."""
        return sorted(name for k, name in self.entries if k == kind)

    def get(self, kind: str, name: str) -> Entry:
        """The entry of a kind and name. Raises UnknownName."""
        try:
            return self.entries[kind, name]
        except KeyError:
            unknown = UnknownName(kind, name, self.names(kind))
            if NARROWED in os.environ:
                unknown.hint += f"; {NARROWED} narrows what is loaded"
            raise unknown from None

    def replacing(self, kind: str, name: str, target: Any) -> Catalogue:
        """A catalogue with the same entries but for this one."""
        other = Catalogue(self.origin)
        entry = Entry(kind, name, target, self.origin)
        other.entries, other.folders = {**self.entries, (kind, name): entry}, self.folders
        return other

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())


@dataclass(frozen=True)
class PluginStatus:
    """The status of a discovered plugin: loaded, broken, blocked or absent, with the reason."""

    origin: Origin
    status: str
    reason: str = ""


@dataclass
class Discovery:
    """The catalogue, and the status of every discovered plugin."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    plugins: list[PluginStatus] = field(default_factory=list)

    def admit(self, plugin: object, origin: Origin) -> None:
        """Register a plugin into a scratch catalogue, merged only if it returns.

        A plugin may say which `API` it is written for, as `ofa_bench_api`; PluginError if another.
        """
        wanted = getattr(plugin, "ofa_bench_api", API)
        if wanted != API:
            raise PluginError(
                f"{origin} is written for plugin API {wanted!r}; this ofa-bench has API {API!r}",
                "install versions of both that agree, or port it: docs/hooks.md says what changed",
            )
        scratch = Catalogue(origin)
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(CatalogueSpec)
        manager.register(plugin, origin.plugin)
        manager.check_pending()
        if not manager.hook.register.get_hookimpls():
            raise PluginError(
                f"{origin} has no `register` marked @hookimpl",
                "define `@hookimpl def register(catalogue): …` at the top of the module",
            )
        manager.hook.register.call_historic(kwargs={"catalogue": scratch})
        self.catalogue.merge(scratch)
        self.plugins.append(PluginStatus(origin, "loaded"))

    def try_admit(self, load: Any, origin: Origin) -> None:
        """As `admit`, but a failure is stored as status "broken" with its reason."""
        try:
            self.admit(load(), origin)
        except (Exception, SystemExit) as error:
            self.plugins.append(PluginStatus(origin, "broken", f"{type(error).__name__}: {error}"))


@functools.cache
def discover() -> Discovery:
    """Load every installed plugin one by one; a broken one is listed and skipped."""
    allowed = os.environ.get(NARROWED)
    return _loaded(
        None if allowed is None else {n.strip() for n in allowed.split(",") if n.strip()}
    )


@functools.cache
def trusted() -> Catalogue:
    """The plugins that may be loaded for a record: those bundled with ofa-bench, and those listed
    in OFA_BENCH_PLUGINS. An untrusted record cannot cause an import."""
    return (discover() if NARROWED in os.environ else _loaded({OURS})).catalogue


def _loaded(wanted: set[str] | None) -> Discovery:
    """Load the plugins of these names or distributions; None loads all."""
    discovery = Discovery(_shipped())
    points = importlib.metadata.entry_points(group=GROUP)
    for point in sorted(points, key=_order):
        dist = point.dist
        origin = Origin(point.name, dist.name if dist else "", dist.version if dist else "")
        if wanted is not None and not wanted & {point.name, origin.distribution}:
            discovery.plugins.append(PluginStatus(origin, "blocked", f"not in {NARROWED}"))
            continue
        discovery.try_admit(point.load, origin)
    origins = [plugin.origin for plugin in discovery.plugins]
    met = {name for origin in origins for name in (origin.plugin, origin.distribution)}
    for name in sorted((wanted or set()) - met):
        reason = f"{NARROWED} names it, but it is not installed"
        discovery.plugins.append(PluginStatus(Origin(name), "absent", reason))
    return discovery


def _shipped() -> Catalogue:
    """Register the project's own tables and network."""
    catalogue = Catalogue(Origin("ofa_bench", OURS))
    catalogue.specs(specs_root())
    catalogue.supernet("mbconv", "ofa_bench.nets.mbconv:build")
    return catalogue


def _order(point: importlib.metadata.EntryPoint) -> tuple[bool, str, str]:
    # Bundled plugins first, so that a plugin that reuses their name is the one refused.
    name = point.dist.name if point.dist else ""
    return (name != OURS, name, point.name)
