"""Clauses on exporters: what they write is what they were given, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.testing.case import Case
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, DoesNotApply, clauses

if TYPE_CHECKING:
    from ofa_bench.data.sources.batch import MicroBatch
    from ofa_bench.data.sources.source import Preprocessing
    from ofa_bench.deploy.export.exporter import Deployable
    from ofa_bench.deploy.export.proof import Reference
    from ofa_bench.nets.mbconv import MBConvNet
    from ofa_bench.space import Subnet

PAGE = "docs/deploy.md"
CLASSES, IMAGES = 7, 64
GREY = (0.5, 0.5, 0.5)
on_exporters = clauses("exporter", page=PAGE)


class NoiseImages:
    """A source of random images, the same in every call."""

    class_names = tuple(f"class {number}" for number in range(CLASSES))

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        import torch

        from ofa_bench.data.sources.batch import MicroBatch

        generator = torch.Generator().manual_seed(1)
        images = torch.randn(IMAGES, 3, resolution, resolution, generator=generator)
        yield MicroBatch(images, torch.arange(IMAGES) % CLASSES)

    def evaluation(self, split: str, resolution: int, chunk: int) -> Iterator[MicroBatch]:
        return self.calibration(resolution)

    def preprocessing(self, resolution: int) -> Preprocessing:
        from ofa_bench.data.sources.source import Preprocessing

        return Preprocessing(resolution, resolution, "float", GREY, GREY)


@contextmanager
def _written(case: Case) -> Iterator[tuple[Any, Path, Deployable, Reference]]:
    """The exporter, the folder that it wrote a subnet of the toy space to, the subnet alone, and
    inside its supernet."""
    from ofa_bench.deploy.export.prepare import ImageBatches, prepared
    from ofa_bench.deploy.model_folder.schema import MODEL
    from ofa_bench.nets.mbconv import build
    from ofa_bench.space import load_space

    space = load_space("toy")
    subnet, net = space.largest, build(space, CLASSES, seed=0)
    source: Any = NoiseImages()
    model, reference = prepared(net, subnet, ImageBatches(source, subnet.resolution, IMAGES))
    exporter = case.cls()
    try:
        exporter.require(model)
    except UsageError as error:
        raise DoesNotApply(error.message) from error
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = _described(net, subnet, model).model_dump_json()
        (folder / MODEL).write_text(text, encoding="utf-8")
        exporter.write(model, folder)
        yield exporter, folder, model, reference


def _described(net: MBConvNet, subnet: Subnet, model: Deployable) -> Any:
    """The model file that an export writes before its formats."""
    from ofa_bench.deploy.export.describe import model_file
    from ofa_bench.deploy.model_folder.schema import TrainedRun

    space, nothing = net.space, {"accuracy": {}, "calibration": "none", "formats": ()}
    run = TrainedRun(
        id="none",
        method="none",
        dataset="noise",
        space=space.name,
        space_fingerprint=space.fingerprint(),
        record_sha256=None,
        weights_sha256=None,
    )
    return model_file(space, subnet, model, name=str(subnet), run=run, **nothing)


@on_exporters(
    "writes the files that it names",
    "`files` names all files and folders that write() makes, and no others",
)
def files_are_named(case: Case) -> None:
    """An export replaces an older one only where it knows every file."""
    with _written(case) as (exporter, folder, _, _):
        names = {path.name for path in folder.iterdir()} - {"model.json"}
    if strange := sorted(names - set(exporter.files)):
        raise Breach(f"it writes {strange[0]} too", where=line_of(case.cls, "write"))
    if missing := sorted(set(exporter.files) - names):
        raise Breach(f"it does not write {missing[0]}", where=line_of(case.cls, "write"))


@on_exporters(
    "the file computes what the supernet's subnet does",
    "read(folder).logits equals the supernet's to 1e-4 for 1, 2 and 7 images (finite "
    "where `exact` is False), and macs() is what the space counts",
)
def file_is_the_network(case: Case) -> None:
    from ofa_bench.deploy.export.proof import check_logits, check_macs

    with _written(case) as (exporter, folder, model, reference):
        file, name = exporter.read(folder), case.entry.name
        space, subnet = reference.net.space, reference.subnet
        try:
            check_logits(name, file, reference, model.folded, model.example, exporter.exact)
            check_macs(name, file, space.macs(subnet, CLASSES))
        except BenchError as error:
            raise Breach(error.message, where=line_of(case.cls, "write")) from error
