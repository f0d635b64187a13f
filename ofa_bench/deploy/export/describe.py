"""What model.json says of a subnet, and what the run's record says of it."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ofa_bench import __version__
from ofa_bench.deploy.model_folder.schema import MeasuredAccuracy, ModelFile, TrainedRun
from ofa_bench.errors import UsageError
from ofa_bench.records.per_image import unpack, wilson
from ofa_bench.records.store import Store, read_bits
from ofa_bench.sanitize import printable

if TYPE_CHECKING:
    from ofa_bench.deploy.export.exporter import Deployable
    from ofa_bench.deploy.export.proof import Predictions
    from ofa_bench.runs.finished import FinishedRun, Opened
    from ofa_bench.space import Space, Subnet

LIBRARIES = ("torch", "numpy", "onnx", "onnxscript", "onnxruntime", "openvino", "timm")


def described(
    run: FinishedRun,
    subnet: Subnet,
    opened: Opened,
    deployable: Deployable,
    answers: Mapping[str, Predictions],
    formats: Iterable[str],
) -> ModelFile:
    """The model file of an export."""
    space, record, science = run.space, run.record, opened.assembly.science
    trained = TrainedRun(
        id=run.folder.name,
        method=printable(science.method),
        dataset=printable(science.dataset),
        space=printable(opened.assembly.space.name),
        space_fingerprint=space.fingerprint(),
        record_sha256=record.sha256 if record is not None else None,
        weights_sha256=record.weights_sha256 if record is not None else None,
    )
    return model_file(
        space,
        subnet,
        deployable,
        name=printable(f"{science.dataset}-{space.name}-{subnet}"),
        accuracy={split: measured(hits) for split, hits in answers.items()},
        calibration=opened.source.calibration_hash,
        run=trained,
        formats=tuple(formats),
    )


def model_file(space: Space, subnet: Subnet, deployable: Deployable, **fields: Any) -> ModelFile:
    """The model file of a subnet; `fields` are those that do not follow from it."""
    classes = len(deployable.classes)
    return ModelFile(
        classes=tuple(map(printable, deployable.classes)),
        input=deployable.images,
        architecture=deployable.table,
        subnet=subnet.to_json(),
        macs=space.macs(subnet, classes),
        parameters=space.params(subnet, classes),
        versions=versions(),
        **fields,
    )


def measured(answers: Predictions) -> MeasuredAccuracy:
    """Accuracy with the 95 % interval of Wilson (1927)."""
    right, images = int(answers.hits.sum()), len(answers.hits)
    low, high = wilson(right, images)
    return MeasuredAccuracy(top1=100.0 * right / images, images=images, low=low, high=high)


def versions() -> dict[str, str]:
    """Versions of ofa-bench, Python and the libraries that wrote the files."""
    present = {"ofa-bench": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            present[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return present


def recorded_hits(
    run: FinishedRun, subnet: Subnet, answers: Predictions | None
) -> dict[str, Any] | None:
    """On how many test images the exported net is right where the record says so; None where the
    record has not scored this subnet image by image."""
    if run.record is None or answers is None:
        return None
    rows = [row for row, score in enumerate(run.record.scores) if score.subnet == subnet.to_json()]
    try:
        stored = Store(run.results).find(run.folder.name)
        bits = read_bits(stored.path, stored.record)
    except UsageError:
        return None
    if not rows or bits is None or stored.record.bits is None:
        return None
    hits = unpack(bits, stored.record.bits.layout)[rows[0]]
    if len(hits) != len(answers.hits):
        return None
    return {"images": len(hits), "equal": int((hits == answers.hits.numpy()).sum())}
