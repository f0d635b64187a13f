"""Run and row ids from science, code and data, and the name of the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ofa_bench.planning.assemble import Assembly
from ofa_bench.recipe.fingerprint import (
    NUMERICS,
    CodeSource,
    canonical,
    hashed_science,
    package_hash,
    row_id,
    run_id,
    source_of,
)
from ofa_bench.records.schema import Identity
from ofa_bench.seeding import digest

if TYPE_CHECKING:
    from ofa_bench.data.sources.source import BatchSource

NETWORK = "ofa_bench.nets"
NAMED = 10  # digits of its id that a run's name ends with


@dataclass(frozen=True)
class RunIdentity:
    """Row and run ids, the run's short name, the source of each policy and extra, and what the row
    id hashes beside the science: `hashed` and the `data` hash."""

    row: str
    run: str
    name: str
    sources: dict[str, CodeSource]
    hashed: Identity
    data: str


def identify(
    assembly: Assembly, data_hash: str, files: dict[str, str], decoder: str | None = None
) -> RunIdentity:
    """Compute the ids of an assembled run. `files`: hashes of initial weights; `decoder`: id of the
    image decoder. Watchers do not enter the ids."""
    science = assembly.science
    parts = {**assembly.bus.policies, **assembly.bus.extras}
    sources = {name: source_of(part) for name, part in parts.items()}
    acts = {name: source for name, source in sources.items() if name not in assembly.bus.watchers}
    code = [*(f"{name}:{source.hash}" for name, source in acts.items())]
    code += [f"network:{network_hash(assembly)}", f"space:{assembly.space.fingerprint()}"]
    code += [f"decoder:{decoder}"] if decoder else []
    acting = [name for name in science.extras if name not in assembly.bus.watchers]
    values = hashed_science(science.model_dump(mode="json"), assembly.space.name, acting, files)
    row = row_id(values, code, data_hash)
    run = run_id(row, assembly.recipe.seed)
    seed = f"s{assembly.recipe.seed}"
    label = "-".join([science.method, science.dataset, assembly.space.name, seed])
    hashed = Identity(code=tuple(code), files=files, numerics=NUMERICS)
    return RunIdentity(row, run, f"{safe(label)}-{run[:NAMED]}", sources, hashed, data_hash)


def alike(
    assembly: Assembly, source: BatchSource, identity: RunIdentity, files: dict[str, str]
) -> dict[str, str]:
    """What all ranks of a run must agree on, as labelled short hashes, the most informative first;
    `files`: hashes of initial weights."""
    counts = f"{source.sizes['train']} for training, {source.sizes['test']} for the test"
    starts = {f"{name} weights": hashed[:12] for name, hashed in files.items()}
    recipe = digest(canonical(assembly.science.model_dump(mode="json")))[:12]
    code = {f"code of {name}": part.hash[:12] for name, part in identity.sources.items()}
    return {
        "images": f"{source.hash[:12]} ({counts})",
        "decoder": str(source.decoder),
        **starts,
        "recipe": recipe,
        "seed": str(assembly.recipe.seed),
        **code,
        "identity": identity.run[:12],
    }


def network_hash(assembly: Assembly) -> str:
    """The hash of the code behind a run's network: the shipped one's, or a plugin's package."""
    network = assembly.network
    if network.origin.distribution == "ofa-bench":
        return package_hash(NETWORK)
    return source_of(network.load()).hash


def safe(label: str) -> str:
    """A label as part of a file name."""
    return "".join(c if c.isalnum() or c in "._+-" else "-" for c in label.lower()).strip(".-")
