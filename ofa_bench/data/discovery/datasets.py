"""Data set specifications, which suffice to plan a run without the files. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ofa_bench.errors import DataError, RecipeError, UnknownName
from ofa_bench.spec_files import load_toml, specs_root

SPLIT_SEED = 2147483647
"""Seed of the hold-out and of the calibration list: a fact of the track, never of the run."""

Select = int | float | None
Channels = tuple[float, float, float]


class PublishedFile(BaseModel):
    """A file that may be downloaded, with its size and hashes; `source`: where those are from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https://[^\s?#]+/[\w.-]+$")
    bytes: int = Field(ge=1)
    md5: str = Field(pattern="^[0-9a-f]{32}$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source: str

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.url.rsplit("/", 1)[1]


class DatasetSpec(BaseModel):
    """One data set: its splits, statistics and layout.

    `layout` is `embedded` (scikit-learn's digits) or `tree` (class folders under train/ and val/
    or test/, or archives of such); `pickles` names the folder of torchvision's official form,
    where there is one, and `download` the archive of it. `classes` and the counts are None if only
    the files can tell. `balanced` says that every class has equally many images, so that anything
    else is a half-extracted set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    summary: str
    layout: Literal["embedded", "tree"]
    classes: int | None = Field(None, ge=2)
    train_total: int | None = Field(None, ge=1)
    test: int | None = Field(None, ge=1)
    select: int | float = Field(ge=0)
    select_most: int | None = None
    least_steps: int = 0  # an epoch's: with fewer images, the recipe's batch is halved
    balanced: bool = False
    mean: Channels
    std: Channels
    space: str
    wanted: str
    get: str
    pickles: str = ""
    folders: tuple[str, ...] = ()
    usual_classes: tuple[str, ...] = ()
    download: PublishedFile | None = None

    def sizes(self, select: Select = None) -> dict[str, int]:
        """The counts of train, select and test. Raises DataError if only the files can tell."""
        if self.train_total is None or self.test is None:
            raise DataError(
                f"how many images {self.name} has is known only from its files",
                "name the images with --data-dir DIR",
            )
        return self.cut(self.train_total, self.test, select)

    def cut(self, train_total: int, test: int, select: Select = None) -> dict[str, int]:
        """Counts of train, select and test after the hold-out, of which `select` is the count or a
        fraction below 1. Raises DataError if one is 0."""
        asked = self.select if select is None else select
        if asked < 0 or asked != asked or (asked >= 1 and asked != int(asked)):
            raise DataError(
                f"data.select is {asked}", "give a number of images, or a fraction below 1"
            )
        held = round(asked * train_total) if asked < 1 else int(asked)
        if select is None and self.select_most:
            held = min(held, self.select_most)
        if held >= train_total:
            raise DataError(
                f"data.select holds out {held} of the {train_total} training images of {self.name}",
                "set data.select lower; a fraction such as 0.1 fits any size",
            )
        return {"train": train_total - held, "select": held, "test": test}


def dataset_names(folder: Path | None = None) -> list[str]:
    return sorted(path.stem for path in (folder or specs_root() / "datasets").glob("*.toml"))


def load_spec(name: str, folder: Path | None = None) -> DatasetSpec:
    """A data set's specification. Raises UnknownName, or RecipeError for an invalid table."""
    folder = folder or specs_root() / "datasets"
    if name not in dataset_names(folder):
        raise UnknownName("dataset", name, dataset_names(folder))
    path = folder / f"{name}.toml"
    try:
        return DatasetSpec.model_validate({"name": name, **load_toml(path)})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(first["msg"], file=str(path), key=where) from error
