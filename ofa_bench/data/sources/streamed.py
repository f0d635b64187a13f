"""The source of large data sets, decoded on demand; batches do not depend on the workers."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ofa_bench.data.discovery.datasets import SPLIT_SEED
from ofa_bench.data.readers.image_set import ImageSplit
from ofa_bench.data.sources.batch import Address, MicroBatch
from ofa_bench.data.sources.source import CALIBRATION_BATCH, BatchSource, HeldOut, Preprocessing
from ofa_bench.data.sources.workers import initialise, loaded
from ofa_bench.data.transforms.augment import epoch_order
from ofa_bench.data.transforms.colour import coloured, jitters_on
from ofa_bench.data.transforms.per_sample import Augmented, Plain
from ofa_bench.errors import DataError

# How many workers is the user's to say; the share of waiting tells what it does.
warnings.filterwarnings("ignore", message="This DataLoader will create")

KEPT_BYTES = 512 << 20
Rendered = tuple[Tensor, Tensor]
Loaded = tuple[Tensor, Tensor, Tensor]


class Rendering(Dataset[Loaded | DataError]):
    """Maps addresses to pixels uint8 [n, R, R, 3], labels, and what colours left to the device need
    (float64 [n, 12], or [n, 0] if nothing is left); shuffled by epoch if it has a seed.

    A DataError is returned, not raised, since an exception from a worker process arrives as the
    text of a traceback.
    """

    def __init__(
        self, split: ImageSplit, transform: Plain | Augmented, side: int, seed: int | None
    ) -> None:
        self.images, self.rows, self.labels = split.whole.images, split.row_index, split.labels
        self.transform, self.side, self.seed = transform, side, seed
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def __getitem__(self, address: Address) -> Loaded | DataError:
        chosen = self._epoch(address.epoch)[address.start : address.stop]
        pixels = torch.empty((len(chosen), self.side, self.side, 3), dtype=torch.uint8)
        numbers: list[list[float]] = []
        try:
            for row, index in enumerate(chosen.tolist()):
                image = self.images.decode(int(self.rows[index]))
                shown = self.transform(image, address.epoch, address.start + row)
                pixels[row] = shown.permute(1, 2, 0)
                numbers.append([*self.transform.numbers])
        except DataError as error:
            return error
        return pixels, self.labels[chosen], torch.tensor(numbers, dtype=torch.float64)

    def _epoch(self, epoch: int) -> Tensor:
        if self.seed is None:
            return torch.arange(len(self.rows))
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(self.seed, epoch, len(self.rows)))
        return self._order[1]


class Streamed(BatchSource):
    """The source of large data sets and of augmentations that change colours.

    Held-out and calibration images are kept on the device after their first pass, as long as
    they take less than 512 MB in all.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._grey = tuple(round(255 * value) for value in self.mean)
        self._colours_left = self.augment.jitter != "none" and jitters_on(self.device)
        self._kept: dict[tuple[str, int], Rendered] = {}
        self._live: set[Generator[Loaded | DataError]] = set()

    def batches(self, addresses: Iterable[Address]) -> Iterator[MicroBatch]:
        transform = Augmented(
            self.augment, self.resolution, self.seed, self.mean, deferred=self._colours_left
        )
        rendering = Rendering(self.splits["train"], transform, self.resolution, self.seed)
        for pixels, labels in self._stream(rendering, addresses):
            yield MicroBatch(self.normalise(pixels), labels)

    def evaluation(
        self, split: HeldOut, resolution: int, chunk: int, wanted: Sequence[int] | None = None
    ) -> Iterator[MicroBatch]:
        transform = Plain(self.augment, resolution)
        rendering = Rendering(self.splits[split], transform, resolution, None)
        return self._fixed(split, rendering, self.sizes[split], chunk, wanted)

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        transform = Augmented(self.augment.geometry(), self.resolution, SPLIT_SEED, self.mean)
        rendering = Rendering(self.splits["train"], transform, self.resolution, SPLIT_SEED)
        count = self.calibration_images
        for batch in self._fixed("calibration", rendering, count, CALIBRATION_BATCH):
            yield batch.at(resolution)

    def preprocessing(self, resolution: int) -> Preprocessing:
        short = Plain(self.augment, resolution).short
        return Preprocessing(short, resolution, "uint8", self.mean, self.std)

    def _fixed(
        self,
        name: str,
        rendering: Rendering,
        count: int,
        chunk: int,
        wanted: Sequence[int] | None = None,
    ) -> Iterator[MicroBatch]:
        numbers = range(-(-count // chunk)) if wanted is None else wanted
        kept = self._kept.get((name, rendering.side))
        if kept:
            whole = list(zip(*(torch.split(part, chunk) for part in kept), strict=True))
            pieces: Iterable[Rendered] = (whole[number] for number in numbers)
        else:
            starts = (number * chunk for number in numbers)
            addresses = (Address(0, start, min(start + chunk, count)) for start in starts)
            pieces = self._stream(rendering, addresses)
            held = sum(pixels.numel() for pixels, _ in self._kept.values())
            room = held + 3 * count * rendering.side**2 <= KEPT_BYTES
            if wanted is None and room:
                pieces = self._keeping((name, rendering.side), pieces)
        for pixels, labels in pieces:
            yield MicroBatch(self.normalise(pixels), labels)

    def _keeping(self, key: tuple[str, int], pieces: Iterable[Rendered]) -> Iterator[Rendered]:
        seen = []
        for piece in pieces:
            seen.append(piece)
            yield piece
        if seen:
            self._kept[key] = (
                torch.cat([pixels for pixels, _ in seen]),
                torch.cat([labels for _, labels in seen]),
            )

    def _stream(self, rendering: Rendering, addresses: Iterable[Address]) -> Iterator[Rendered]:
        pinned = self.device.type == "cuda"
        loader = DataLoader(
            rendering,
            batch_size=None,
            sampler=addresses,
            num_workers=self.workers,
            pin_memory=pinned,
            worker_init_fn=initialise,
            generator=torch.Generator(),  # or the loader would draw from the global one
        )
        stream = loaded(loader)
        self._live.add(stream)
        try:
            for rendered in stream:
                if isinstance(rendered, DataError):
                    raise rendered
                *parts, numbers = rendered
                pixels, labels = (part.to(self.device, non_blocking=pinned) for part in parts)
                if numbers.numel():
                    pixels = coloured(pixels, numbers, self._grey)
                yield pixels, labels
        finally:
            self._live.discard(stream)
            stream.close()

    def loading(self) -> dict[str, object]:
        if self.augment.jitter == "none":
            return {"workers": self.workers}
        return {"workers": self.workers, "jitter": "device" if self._colours_left else "workers"}

    def close(self) -> None:
        for stream in list(self._live):
            stream.close()
        self._live.clear()
