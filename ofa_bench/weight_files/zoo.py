"""Checkpoints of model zoos that are known by name: what a file of weights does not say itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ofa_bench.spec_files import load_toml, specs_root

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar")


@dataclass(frozen=True)
class ZooCheckpoint:
    """A known checkpoint: the space and data set it was trained on, and its batch-norm epsilon."""

    name: str
    space: str
    dataset: str
    norm_eps: float


@cache
def checkpoints() -> tuple[ZooCheckpoint, ...]:
    """The known checkpoints, as `specs/zoo.toml` lists them with their sources."""
    table = load_toml(specs_root() / "zoo.toml")
    return tuple(ZooCheckpoint(**entry) for entry in table["checkpoint"])


def known_checkpoint(file: Path) -> ZooCheckpoint | None:
    """The known checkpoint of a file's name, whatever its suffix; None for any other name."""
    name = file.name
    while name.endswith(SUFFIXES):
        name = name.rpartition(".")[0]
    return next((entry for entry in checkpoints() if entry.name == name), None)
