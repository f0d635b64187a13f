"""One export end to end: open the run, take the subnet out, write each format, prove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.atomic_io import sha256_file
from ofa_bench.deploy.export.card import card
from ofa_bench.deploy.export.staging_folder import check_target, staged
from ofa_bench.deploy.model_folder.schema import CARD, MODEL, PARITY, ModelFile
from ofa_bench.errors import PluginError, UsageError
from ofa_bench.records.json_text import spell
from ofa_bench.runs.finished import FinishedRun, finished_run
from ofa_bench.training.callbacks import Progress, Silent

if TYPE_CHECKING:
    from ofa_bench.deploy.export.exporter import Deployable, Exporter
    from ofa_bench.deploy.export.prepare import ImageBatches
    from ofa_bench.deploy.export.proof import Predictions, Reference
    from ofa_bench.space import Subnet

DEFAULT = ("safetensors", "onnx", "pt2")
KIND = "exporter"


@dataclass(frozen=True)
class ExportedModel:
    """An export that is in its place: what model.json and parity.json say."""

    folder: Path
    model: ModelFile
    parity: Mapping[str, Any]


def export(
    run: str,
    subnet: str | Mapping[str, Any],
    folder: str | Path,
    *,
    formats: Sequence[str] = DEFAULT,
    results: str | Path | None = None,
    progress: Progress | None = None,
    trust: bool = False,
    **options: Any,
) -> ExportedModel:
    """Take a subnet of a finished run out into a folder, in each of the formats, proved.

    Logits must equal the supernet's to 1e-4 at batch sizes 1, 2 and 7, all test images must get the
    same class, and the graph must have the multiply-accumulates that the space counts. Nothing is
    written unless every format passes. `options` as in `evaluate`. Raises UsageError for an unknown
    format, a subnet outside the space, a missing library or a folder that is no export; ResumeError
    if the run is not finished; BenchError if a format fails its proof or the disk is full.
    """
    target = Path(folder)
    finished = finished_run(run, results, trust=trust, **options)
    exporters = chosen(finished, formats)
    known = {*known_files(finished), *(name for item in exporters.values() for name in item.files)}
    check_target(target, known)
    net = finished.subnet(subnet)
    return _Export(finished, net, exporters, progress or Silent()).written(target, known)


def chosen(run: FinishedRun, formats: Sequence[str]) -> dict[str, Exporter]:
    """The exporters of these names. Raises UnknownName, UsageError where none is named."""
    if isinstance(formats, str) or not formats:
        raise UsageError("no format is named", f"name some of {run.catalogue.names(KIND)}")
    return {name: run.catalogue.get(KIND, name).load()() for name in dict.fromkeys(formats)}


def known_files(run: FinishedRun) -> set[str]:
    """The names of all files that an export may hold."""
    names = {MODEL, PARITY, CARD}
    for name in run.catalogue.names(KIND):
        try:
            names.update(run.catalogue.get(KIND, name).load().files)
        except PluginError:  # a format that cannot be loaded has not written anything here either
            continue
    return names


@dataclass(frozen=True)
class _Export:
    """The parts of one export."""

    run: FinishedRun
    subnet: Subnet
    exporters: Mapping[str, Exporter]
    progress: Progress

    def written(self, target: Path, known: set[str]) -> ExportedModel:
        """Write, prove, rename into place."""
        from ofa_bench.deploy.export.describe import described
        from ofa_bench.deploy.export.prepare import ImageBatches, prepared
        from ofa_bench.deploy.export.proof import check_extraction, predictions

        with self.run.open() as opened:
            self.progress.note(f"exporting {self.subnet} of {self.run.folder.name}")
            chunk = opened.assembly.science.evaluate.chunk
            images = ImageBatches(opened.source, self.subnet.resolution, chunk)
            deployable, reference = prepared(opened.net, self.subnet, images)
            for exporter in self.exporters.values():
                exporter.require(deployable)
            check_extraction(reference, deployable.folded, deployable.example)
            answers = {
                split: predictions(reference, images.held_out(split))
                for split in ("select", "test")
                if opened.source.sizes[split]
            }
            model = described(self.run, self.subnet, opened, deployable, answers, self.exporters)
            with staged(target, known) as folder:
                (folder / MODEL).write_text(spell(model.model_dump(mode="json")), encoding="utf-8")
                parity = self._proved(folder, deployable, reference, answers, images)
                (folder / PARITY).write_text(spell(parity), encoding="utf-8")
                (folder / CARD).write_text(card(model, parity), encoding="utf-8")
        return ExportedModel(target, model, parity)

    def _proved(
        self,
        folder: Path,
        deployable: Deployable,
        reference: Reference,
        answers: Mapping[str, Predictions],
        images: ImageBatches,
    ) -> dict[str, Any]:
        """Write each format and prove it; what parity.json holds."""
        from ofa_bench.deploy.export import proof
        from ofa_bench.deploy.export.describe import recorded_hits

        macs = self.run.space.macs(self.subnet, len(deployable.classes))
        formats: dict[str, Any] = {}
        for name, exporter in self.exporters.items():
            self.progress.note(f"writing and proving {name}")
            exporter.write(deployable, folder)
            file, exact = exporter.read(folder), exporter.exact
            facts: dict[str, Any] = {"exact": exact}
            facts["logits"] = proof.check_logits(
                name, file, reference, deployable.folded, deployable.example, exact
            )
            facts["macs"] = proof.check_macs(name, file, macs)
            if "test" in answers:
                facts["predictions"] = proof.check_predictions(
                    name, file, answers["test"], images.held_out("test"), exact
                )
            facts |= file.facts()
            if not exact:
                facts["remarks"] = proof.remarks(facts, answers.get("test"))
            facts["files"] = {
                str(path.relative_to(folder)): sha256_file(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.relative_to(folder).parts[0] in exporter.files
            }
            formats[name] = facts
        return {
            "subnet": str(self.subnet),
            "reference": "the supernet's subnet, calibrated, fp32",
            "tolerance": proof.TOLERANCE,
            "macs": macs,
            "record": recorded_hits(self.run, self.subnet, answers.get("test")),
            "formats": formats,
        }
