"""Images a second of ImageNet's training input, by where colours are jittered and by workers.

    python -m tests.benchmarks.input_rate --device cuda --data shared/data/imagenet1k_sample

Needs what pyproject.toml lists and the 1,000 photographs of the sample set, which are enlarged to
ImageNet's mean size and written as JPEG to a temporary folder. Nothing trains beside it: what is
measured is what the input can give, and from it the share of waiting at the rates that are given.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.decoder import decode, read_bytes
from ofa_bench.data.open import open_source
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.data.transforms.colour import VARIABLE, coloured
from ofa_bench.data.transforms.per_sample import Augmented
from ofa_bench.hardware import usable_cores, usual_workers
from ofa_bench.recipe.models import Augment

from .timing import machine

SIDE, SHORT, GRAIN, QUALITY = 224, 375, 6.0, 90
MEAN = (0.485, 0.456, 0.406)
GREY = tuple(round(255 * value) for value in MEAN)
AUGMENT = {"kind": "resized-crop", "flip": True}
KINDS = ("none", "workers", "device")


def photographs(archive: Path, folder: Path, most: int) -> list[Path]:
    """The sample's photographs at ImageNet's size, with grain, in ten classes."""
    files, rng = [], np.random.default_rng(0)
    with tarfile.open(archive) as members:
        for member in members:
            stream = members.extractfile(member) if member.isfile() else None
            if stream is None or len(files) == most:
                continue
            image = Image.open(io.BytesIO(stream.read())).convert("RGB")
            scale = SHORT / min(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            large = np.asarray(image.resize(size, Image.Resampling.BICUBIC)).astype(np.float32)
            large += rng.normal(0, GRAIN, large.shape).astype(np.float32)
            path = folder / "train" / f"class{len(files) % 10}" / f"{len(files):04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.clip(large, 0, 255).astype(np.uint8)).save(path, quality=QUALITY)
            if len(files) < 20:
                held = folder / "val" / path.parent.name / path.name
                held.parent.mkdir(parents=True, exist_ok=True)
                held.symlink_to(path)
            files.append(path)
    return files


def decoded(path: Path) -> torch.Tensor:
    return torch.from_numpy(decode(read_bytes(path), path)).permute(2, 0, 1)


def stages(files: list[Path], number: int) -> dict[str, float]:
    """Milliseconds an image of each stage: processor time of one thread, which other jobs on the
    machine lengthen little."""
    geometry = Augmented(Augment.of(AUGMENT), SIDE, 0, MEAN)
    split = Augmented(Augment.of(AUGMENT | {"jitter": "torch"}), SIDE, 0, MEAN, deferred=True)
    whole = Augmented(Augment.of(AUGMENT | {"jitter": "torch"}), SIDE, 0, MEAN)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {}

    def clocked(what: str, work: Callable[[], Any]) -> Any:
        began = time.thread_time()
        result = work()
        spent.setdefault(what, []).append(1e3 * (time.thread_time() - began))
        return result

    for at in range(number):
        path = files[at % len(files)]
        image = clocked("read and decode", lambda path=path: decoded(path))
        geometry(image, 0, at)  # whoever reads the image first waits for memory
        for what, step in (
            ("crop, resize, flip", geometry),
            ("the same, jitter's numbers drawn", split),
            ("the same, jittered in the worker", whole),
        ):
            clocked(what, lambda step=step, at=at, image=image: step(image, 0, at))
    torch.set_num_threads(threads)
    return {what: statistics.median(values) for what, values in spent.items()}


def synchronised(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def batch_jitter(files: list[Path], device: torch.device, batch: int) -> list[str]:
    """Milliseconds of a batch's jitter, and how its pixels differ from the worker's."""
    options = Augment.of(AUGMENT | {"jitter": "torch", "erasing": 0.2})
    split = Augmented(options, SIDE, 0, MEAN, deferred=True)
    whole = Augmented(options, SIDE, 0, MEAN)
    images = [decoded(path) for path in files[:batch]]
    pixels, numbers, wanted = [], [], []
    for at, image in enumerate(images):
        pixels.append(split(image, 0, at).permute(1, 2, 0))
        numbers.append([*split.numbers])
        wanted.append(whole(image, 0, at).permute(1, 2, 0))
    held, table = torch.stack(pixels).to(device), torch.tensor(numbers, dtype=torch.float64)
    off = (coloured(held, table, GREY).cpu().int() - torch.stack(wanted).int()).abs()
    spent, rounds = [], 20 if device.type == "cuda" else 3
    for number in range(rounds + 2):
        began = synchronised(device)
        coloured(held, table, GREY)
        if number > 1:
            spent.append(1e3 * (synchronised(device) - began))
    low, middle, high = min(spent), statistics.median(spent), max(spent)
    return [
        f"Jitter and erasing of a batch of {len(images)} on {device}: {middle:.2f} ms "
        f"({low:.2f} to {high:.2f}, n={rounds}).",
        f"Levels that differ from the worker's: {int((off > 0).sum()):,} of {off.numel():,}, by at "
        f"most {int(off.max())}.",
    ]


def opened(folder: Path, device: torch.device, workers: int, kind: str) -> BatchSource:
    os.environ[VARIABLE] = "workers" if kind == "none" else kind
    augment = AUGMENT | ({} if kind == "none" else {"jitter": "torch"})
    return open_source(
        load_spec("folder"),
        folder,
        resolution=SIDE,
        augment=augment,
        select=0,
        seed=0,
        device=device,
        workers=workers,
        cache=folder / "cache",
    )


def addresses(images: int, batch: int) -> Iterator[Address]:
    for epoch in count():
        for start in range(0, images - batch + 1, batch):
            yield Address(epoch, start, start + batch)


def rate(source: BatchSource, device: torch.device, batch: int, seconds: float) -> float:
    """Images a second, once what the workers hold ready at the start is used up."""
    stream = source.batches(addresses(source.sizes["train"], batch))
    for _ in islice(stream, 2 + 2 * source.workers):
        pass
    began = synchronised(device)
    images = 0
    for loaded in stream:
        images += len(loaded.labels)
        if time.perf_counter() - began >= seconds:
            break
    spent = synchronised(device) - began
    source.close()
    return images / spent


def rates(options: argparse.Namespace, folder: Path, device: torch.device) -> Iterator[str]:
    """A table line for each number of workers, the kinds in turns within a round."""
    names = {
        "none": "no jitter",
        "workers": "jitter in the workers",
        "device": f"jitter on {device.type}",
    }
    if not options.rounds:
        return
    yield "| workers | " + " | ".join(f"{names[kind]}, images/s" for kind in KINDS) + " |"
    yield "|---" * (1 + len(KINDS)) + "|"
    for workers in options.workers:
        measured: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(options.rounds):
            for kind in KINDS if number % 2 else KINDS[::-1]:
                source = opened(folder, device, workers, kind)
                measured[kind].append(rate(source, device, options.batch, options.seconds))
        cells = []
        for values in measured.values():
            middle = statistics.median(values)
            cells.append(f"{middle:,.0f} ({min(values):,.0f} to {max(values):,.0f})")
        yield f"| {workers} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data", type=Path, required=True, help="folder of the sample's archive")
    parser.add_argument("--workers", type=lambda text: [*map(int, text.split(","))])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves out the rates")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    device, usual = torch.device(options.device), usual_workers(options.device != "cpu")
    if options.workers is None:
        options.workers = sorted({1, 2, 4, usual, *([usable_cores()] * (usable_cores() > 4))})
    archive = options.data / "imagenet1k_sample.tar.gz"
    with tempfile.TemporaryDirectory() as name:
        files = photographs(archive, Path(name), options.images)
        size = statistics.mean(path.stat().st_size for path in files) / 1e3
        gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
        print(f"{machine()}{gpu}; {usable_cores()} usable cores, default workers: {usual}")
        print(f"load average at the start: {os.getloadavg()[0]:.1f}")
        print(f"{len(files)} photographs, short side {SHORT}, {size:.0f} kB on average, to {SIDE}")
        print("\n| stage | ms of one thread an image |\n|---|---|")
        for what, spent in stages(files, 200).items():
            print(f"| {what} | {spent:.2f} |")
        print("", *batch_jitter(files, device, options.batch), "", sep="\n", flush=True)
        for line in rates(options, Path(name), device):
            print(line, flush=True)
        each = f"n = {options.rounds} in turns, {options.seconds:g} s each, medians and range"
        load = f"load average at the end: {os.getloadavg()[0]:.1f}"
        print(f"\nbatches of {options.batch}, {each}; {load}")


if __name__ == "__main__":
    main()
