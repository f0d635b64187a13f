"""The protocol of the resident and the streamed source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.data.sources.batch import Address, MicroBatch
from ofa_bench.data.sources.held_out import HeldOutImages
from ofa_bench.data.sources.preprocessing import Preprocessing

CALIBRATION_IMAGES = 2000
CALIBRATION_BATCH = 200

HeldOut = Literal["select", "test"]


class BatchSource(Protocol):
    """Batches of a data set with its splits, augmented, on the run's device."""

    name: str
    classes: int
    sizes: dict[str, int]
    """Images in train, select and test."""
    resolution: int
    """Side of the training images, in pixels: the largest the space draws."""
    hash: str
    """Of the bytes of all images, before the cut."""
    splits_hash: dict[str, str]
    calibration_hash: str
    notes: tuple[str, ...]
    """Remarks a record keeps, such as another list of classes than the usual one."""
    class_names: tuple[str, ...]
    """In label order."""
    decoder: Decoder | None
    """The decoder of the files; None if no file was decoded."""
    held_out: HeldOutImages
    """Select and test images, to be decoded before training."""
    workers: int
    """Processes that load images, of each stream of batches."""

    def batches(self, addresses: Iterable[Address]) -> Iterator[MicroBatch]:
        """Training batches in the order of the addresses. Raises DataError for a damaged image."""

    def evaluation(self, split: HeldOut, resolution: int, chunk: int) -> Iterator[MicroBatch]:
        """A split in fixed order, in batches of `chunk` images, with the evaluation transform."""

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        """Fixed training images in batches of 200, cropped and flipped as in training."""

    def preprocessing(self, resolution: int) -> Preprocessing:
        """What `evaluation` does to an image."""
        ...

    def loading(self) -> dict[str, object]:
        """How images are loaded, for `machine.details` of a record: workers, and where colours are
        jittered. Empty if they lie in memory."""
        ...

    def close(self) -> None:
        """Stop the workers of all streams; the source can be used again."""
