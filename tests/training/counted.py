"""`ofa-bench` whose ranks write down which images they train on, and take their time for it.

python -m tests.training.counted FOLDER SECONDS run …
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ofa_bench.cli.main import main
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.transforms.augment import epoch_order
from ofa_bench.training.loop import Loop


class Log:
    """The file of one rank's process: a line for each micro-batch, before it is trained on."""

    def __init__(self, loop: Loop, folder: Path, seconds: float) -> None:
        devices, source = loop.devices, loop.state.source
        self._loop, self._seconds, self._seed = loop, seconds, source.seed
        self._epoch = loop.schedule.images - loop.schedule.left_out
        self._split = source.splits["train"]
        self._addresses: deque[Address] = deque()
        self.attempt = devices.share(time.time_ns())
        self._path = folder / f"{self.attempt}-{devices.world}-{devices.rank}-{os.getpid()}.jsonl"

    def listed(self, addresses: Iterator[Address]) -> Iterator[Address]:
        """The addresses, which loaders ask for long before their images come."""
        for address in addresses:
            self._addresses.append(address)
            yield address

    def count(self, labels: torch.Tensor) -> None:
        """A micro-batch has come: which images it holds."""
        address = self._addresses.popleft()
        order = epoch_order(self._seed, address.epoch, len(self._split))
        images = order[address.start : address.stop]
        assert torch.equal(labels.cpu(), self._split.labels[images])
        line = {"step": self._loop.state.cursor, "epoch": address.epoch, "of": self._epoch}
        line["images"] = images.tolist()
        with self._path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        time.sleep(self._seconds)


def patch(folder: Path, seconds: float) -> None:
    """Count in every loop of this process."""
    logs: dict[int, Log] = {}
    run, addresses, following = Loop.run, Loop._addresses, Loop._next

    def logged(loop: Loop, *words: Any, **options: Any) -> None:
        logs[id(loop)] = Log(loop, folder, seconds)
        run(loop, *words, **options)

    def listed(loop: Loop, cursor: int) -> Iterator[Address]:
        return logs[id(loop)].listed(addresses(loop, cursor))

    def counted(loop: Loop) -> Any:
        batch = following(loop)
        logs[id(loop)].count(batch.labels)
        return batch

    Loop.run, Loop._addresses, Loop._next = logged, listed, counted  # type: ignore[method-assign]


class Trained(NamedTuple):
    """What of the logs is part of the final weights: the last attempt at each step."""

    images: dict[int, Counter[int]]
    """How often each image was trained on, by epoch."""
    worlds: dict[int, int]
    """With how many ranks, by step."""
    attempts: int
    redone: int
    """Steps that more than one attempt began."""
    length: int
    """Images of an epoch."""

    def once_each(self) -> bool:
        """Whether all epochs but the last saw all images, and each epoch each image once."""
        seen = [self.images.get(epoch, Counter()) for epoch in range(max(self.images) + 1)]
        once = all(set(epoch.values()) == {1} for epoch in seen)
        return once and all(len(epoch) == self.length for epoch in seen[:-1])


def trained(folder: Path) -> Trained:
    """Read the logs of all attempts and ranks."""
    lines: dict[int, dict[int, list[Any]]] = {}
    worlds: dict[int, int] = {}
    for path in folder.glob("*.jsonl"):
        attempt, world, *_ = map(int, path.stem.split("-"))
        worlds[attempt] = world
        text = path.read_text()
        for line in map(json.loads, text[: text.rfind("\n") + 1].splitlines()):
            lines.setdefault(line["step"], {}).setdefault(attempt, []).append(line)
    images: dict[int, Counter[int]] = {}
    length = 0
    for attempts in lines.values():
        for line in attempts[max(attempts)]:
            images.setdefault(line["epoch"], Counter()).update(line["images"])
            length = line["of"]
    by_step = {step: worlds[max(attempts)] for step, attempts in sorted(lines.items())}
    redone = sum(len(attempts) > 1 for attempts in lines.values())
    return Trained(images, by_step, len(worlds), redone, length)


if __name__ == "__main__":
    where, seconds, *words = sys.argv[1:]
    patch(Path(where), float(seconds))
    sys.exit(main(words))
