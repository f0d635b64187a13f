"""Which finished runs are meant: by name, by their track, or by what a comparison runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ofa_bench.errors import UsageError
from ofa_bench.planning.assemble import Assembly
from ofa_bench.records.store import Store, StoredRecord
from ofa_bench.records.track import Track, tracks
from ofa_bench.runs.single import find_run, results_root
from ofa_bench.sanitize import command_line, plain_text

WEIGHTS = "weights.safetensors"


def supernets(names: Sequence[str], results: str | Path | None = None) -> list[str]:
    """The runs of these names; a name of no run means the finished runs of a track, by its data set
    or the beginning of its name. Raises UsageError where it is neither, or means several tracks."""
    store = Store(results_root(results))
    runs: list[str] = []
    for name in names:
        try:
            find_run(name, results)
            runs.append(str(name))
        except UsageError as error:
            known = tracks(store.list(broken=lambda error: None))
            entries = _of_track(name, known)
            if entries is None:
                titles = ", ".join(plain_text(track.name) for track in known) or "none"
                raise UsageError(
                    f"{error.message}, and no track of its records is called so",
                    f"{error.hint}; tracks: {titles}",
                ) from error
            runs += _with_weights(entries, store, name)
    return list(dict.fromkeys(runs))


def compared(assemblies: Iterable[Assembly], store: Store, name: str) -> list[str]:
    """The finished runs of a comparison. Raises UsageError where there are none."""
    wanted = [(one.recipe.seed, one.science.model_dump(mode="json")) for one in assemblies]
    every = store.list(broken=lambda error: None)
    entries = [entry for entry in every if (entry.record.seed, entry.record.science) in wanted]
    return _with_weights(entries, store, name)


def _of_track(name: str, known: Mapping[Track, list[StoredRecord]]) -> list[StoredRecord] | None:
    meant = [track for track in known if track.dataset == name]
    meant = meant or [track for track in known if name and track.name.startswith(name)]
    if len(meant) > 1:
        names = ", ".join(track.name for track in meant)
        raise UsageError(f"{name!r} means several tracks", f"name one of {names}")
    return known[meant[0]] if meant else None


def _with_weights(entries: Iterable[StoredRecord], store: Store, name: str) -> list[str]:
    runs = [entry.record.run.id for entry in entries]
    if not runs:
        raise UsageError(
            f"no run of {plain_text(name)} is recorded in {store.results}",
            f"train them: {command_line('ofa-bench', 'compare', name)}",
        )
    able = [run for run in runs if (store.results / "runs" / run / WEIGHTS).is_file()]
    if not able:
        raise UsageError(
            f"none of the {len(runs)} recorded runs of {name!r} has its weights in "
            f"{store.results / 'runs'}",
            "train them there: weights are not kept with records",
        )
    return able
