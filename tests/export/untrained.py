"""Random subnets of untrained networks, exported and proved without a run: many in little time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.data.sources.source import Preprocessing
from ofa_bench.deploy.export import proof
from ofa_bench.deploy.export.describe import versions
from ofa_bench.deploy.export.exporter import Deployable
from ofa_bench.deploy.export.prepare import ImageBatches, prepared
from ofa_bench.deploy.model_folder.schema import ModelFile
from ofa_bench.hooks.catalogue import discover
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import Subnet, load_space

CLASSES = 10
GREY = (0.5, 0.5, 0.5)


class RandomImages:
    """A source of random images."""

    class_names = tuple(map(str, range(CLASSES)))

    def batches(self, seed: int, resolution: int, count: int) -> Iterator[MicroBatch]:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(count, 3, resolution, resolution, generator=generator)
        images = images.contiguous(memory_format=torch.channels_last)
        yield MicroBatch(images, torch.arange(count) % CLASSES)

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        return self.batches(1, resolution, 32)

    def evaluation(self, split: str, resolution: int, chunk: int) -> Iterator[MicroBatch]:
        return self.batches(2, resolution, 64)

    def preprocessing(self, resolution: int) -> Preprocessing:
        return Preprocessing(resolution, resolution, "float", GREY, GREY)


def network(name: str, **options: Any) -> MBConvNet:
    """A network whose every weight matters: norms at 1 and 0 would hide what is left out."""
    net = build(load_space(name), CLASSES, seed=0, **options)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return net


def prove(
    net: MBConvNet, subnet: Subnet, formats: tuple[str, ...], folder: Path
) -> tuple[Deployable, float]:
    """Write, read and prove the formats as an export does; the largest difference of a logit."""
    images: Any = ImageBatches(RandomImages(), subnet.resolution, 64)  # type: ignore[arg-type]
    model, reference = prepared(net, subnet, images)
    proof.check_extraction(reference, model.folded, model.example)
    answers = proof.predictions(reference, images.held_out("test"))
    (folder / "model.json").write_text(described(net, subnet, model).model_dump_json())
    worst = 0.0
    for name in formats:
        exporter = discover().catalogue.get("exporter", name).load()()
        exporter.write(model, folder)
        file = exporter.read(folder)
        apart = proof.check_logits(name, file, reference, model.folded, model.example, True)
        proof.check_macs(name, file, net.space.macs(subnet, CLASSES))
        proof.check_predictions(name, file, answers, images.held_out("test"), True)
        worst = max(worst, *apart.values())
    return model, worst


def described(net: MBConvNet, subnet: Subnet, model: Deployable) -> ModelFile:
    space, part = net.space, ("x",) * 5
    keys = ("id", "method", "dataset", "space", "space_fingerprint")
    run = {**dict(zip(keys, part, strict=True)), "record_sha256": None, "weights_sha256": None}
    return ModelFile.model_validate(
        {
            "name": "x",
            "classes": model.classes,
            "input": model.images,
            "architecture": model.table,
            "subnet": subnet.to_json(),
            "macs": space.macs(subnet, CLASSES),
            "parameters": space.params(subnet, CLASSES),
            "accuracy": {},
            "calibration": "x",
            "run": run,
            "formats": (),
            "versions": versions(),
        }
    )


def subnets(name: str, count: int, seed: int = 7) -> list[Subnet]:
    """Random subnets, in turn at each listed resolution."""
    space, rng = load_space(name), random.Random(seed)
    return [space.sample(rng).at(space.listed[n % len(space.listed)]) for n in range(count)]
