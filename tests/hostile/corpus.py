"""What is mutated: whole, valid files of every kind, made once by the commands themselves."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.execution import Case, execute
from tests.latency_tables import proportional

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--space", "toy", "--epochs", "0.3", "--set", "evaluate.per_bucket=1"]
TINY += ["--set", "evaluate.curve=2", "--set", "evaluate.buckets=2", "--device", "cpu"]
LAUNCH = ["compare", "--methods", "deps,ofa", "--seeds", "1", *TINY, "--launch", "lines"]
FORMATS = ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "DDS", "ICNS", "ICO", "PCX", "TGA"]
FORMATS += ["SGI", "JPEG2000", "EPS", "BLP", "IM", "MSP", "XBM", "SPIDER", "AVIF", "PDF", "QOI"]


@dataclass(frozen=True)
class Corpus:
    """The folder of valid artefacts; `make` fills it."""

    root: Path

    def make(self) -> Corpus:
        """Run what has to be run; seconds."""
        for seed, method in ((0, "deps"), (1, "deps"), (0, "ofa")):
            self._run(f"{method}-{seed}", ["run", "--method", method, "--seed", str(seed), *TINY])
        self._merge()
        self._deploy()
        self._truth()
        self._interrupt()
        self._interrupt_evaluation()
        self._images()
        self._pictures()
        return self

    def _run(self, name: str, words: list[str]) -> None:
        box = Box(self.root / "made" / name).make()
        ended = execute(box, Case([[*words, "--json"]], memory=1 << 14))
        assert ended.codes == [0], (words, ended, (box.root / "stderr").read_text()[-2000:])

    def _merge(self) -> None:
        for made in sorted((self.root / "made").iterdir()):
            shutil.copytree(made / "work" / "results", self.results, dirs_exist_ok=True)
        shutil.rmtree(self.results / "boards")
        box = Box(self.root / "bundling").make()
        shutil.copytree(self.results, box.work / "results")
        ended = execute(box, Case([["records", "export", "all.zip"], ["board", "digits"]]))
        assert ended.codes == [0, 0], ended
        shutil.copy(box.work / "all.zip", self.root / "all.zip")

    def _deploy(self) -> None:
        """A search of a finished run, a subnet taken out of it, a latency table, and a launch."""
        from ofa_bench.search.latency_table import to_toml
        from ofa_bench.space import load_space

        box = Box(self.root / "searched").make()
        shutil.copytree(self.root / "made" / "deps-0" / "work" / "results", box.work / "results")
        (run,) = (path.name for path in (box.work / "results" / "runs").iterdir() if path.is_dir())
        search = ["search", run, "--macs", "3M", "--evaluations", "4", "--searcher", "random"]
        export = ["export", run, "--subnet", "smallest", "--format", "safetensors", "-o", "out"]
        ended = execute(box, Case([search, export], memory=1 << 14))
        assert ended.codes == [0, 0], (ended, (box.root / "stderr").read_text()[-2000:])
        table = to_toml(proportional(load_space("toy"), 10))
        (self.root / "latency.toml").write_text(table, encoding="utf-8")
        box = Box(self.root / "launched").make()
        ended = execute(box, Case([LAUNCH]))
        assert ended.codes == [0], (ended, (box.root / "stderr").read_text()[-2000:])

    def _truth(self) -> None:
        """Five nets of committed ground truth, with their records and the supernet's."""
        from ofa_bench.leaderboard.truth.recorded import analysed
        from ofa_bench.records.truths.schema import sealed_truth, truth_values
        from ofa_bench.records.truths.store import truths, write_truth

        whole = ROOT / "results" / "ground-truth"
        _, record = truths(whole)[0][0]
        values = {k: v for k, v in truth_values(record).items() if k not in ("schema", "sha256")}
        nets = values["nets"][::6]
        proxies = {name: scores[::6] for name, scores in values["proxies"].items()}
        made = analysed(nets, values["images"], proxies)
        write_truth(self.truth, sealed_truth({**values, "nets": nets, "proxies": proxies, **made}))
        runs = {record.run, *(run["run"] for net in nets for run in net["alone"])}
        for path in whole.glob("records/*/*/*.json"):
            if path.stem in runs:
                folder = self.truth / path.parent.relative_to(whole)
                folder.mkdir(parents=True, exist_ok=True)
                for file in path.parent.glob(f"{path.stem}.*"):
                    shutil.copy(file, folder)

    def _interrupt(self) -> None:
        """The first run again, stopped twice, so that there are two checkpoints."""
        box = Box(self.root / "interrupted").make()
        for step in (2, 4):
            pid = os.fork()
            if pid == 0:
                _stopped_child(box, partial(_stop_at, step))
            os.waitpid(pid, 0)
        states = list(box.work.glob("results/runs/*/checkpoint/*.pt"))
        assert len(states) == 2, (states, (box.root / "stdout").read_text())

    def _interrupt_evaluation(self) -> None:
        """The first run again, stopped when its first scores are kept."""
        box = Box(self.root / "evaluating").make()
        pid = os.fork()
        if pid == 0:
            _stopped_child(box, _stop_scoring)
        os.waitpid(pid, 0)
        assert list(box.work.glob("results/runs/*/evaluation/*.safetensors"))

    def _images(self) -> None:
        """One picture in every format and mode that can be written here."""
        from PIL import Image

        folder = self.root / "images"
        folder.mkdir()
        rng = random.Random(1)
        whole = Image.frombytes("RGB", (24, 20), rng.randbytes(24 * 20 * 3)).resize((40, 33))
        for kind in FORMATS:
            for mode in ("RGB", "L", "P", "RGBA", "CMYK", "1", "I;16", "LA"):
                buffer = io.BytesIO()
                try:
                    whole.convert(mode).save(buffer, kind)
                except Exception:  # formats refuse modes in many ways
                    continue
                (folder / f"{kind}-{mode.replace(';', '')}.{kind.lower()}").write_bytes(
                    buffer.getvalue()
                )
        for name, more in (
            ("progressive", {"progressive": True}),
            ("rotated", {"exif": _rotated()}),
        ):
            whole.save(folder / f"JPEG-{name}.jpeg", **more)

    def _pictures(self) -> None:
        """A small tree of images, as a folder, as archives, and as a folder of pixels."""
        from PIL import Image

        tree, rng = self.root / "tree", random.Random(2)
        for split, count in (("train", 6), ("test", 3)):
            for label in ("cats", "dogs"):
                (tree / split / label).mkdir(parents=True)
                for number in range(count):
                    pixels = Image.frombytes("RGB", (12, 10), rng.randbytes(360))
                    pixels.save(tree / split / label / f"{number}.png")
        for suffix, way in (
            (".tar", "w"),
            (".tar.gz", "w:gz"),
            (".tar.xz", "w:xz"),
            (".tar.bz2", "w:bz2"),
        ):
            with tarfile.open(self.root / f"folder{suffix}", way) as archive:  # type: ignore[call-overload]
                for split in ("train", "test"):
                    archive.add(tree / split, split)
        box = Box(self.root / "caching").make()
        shutil.copytree(tree, box.work / "tree")
        words = [
            "data",
            "prepare",
            "folder",
            "--cache",
            "--data-dir",
            "tree",
            "--to",
            "pixels",
            "--yes",
        ]
        ended = execute(box, Case([words, ["data", "check", "folder", "--data-dir", "tree"]]))
        assert ended.codes == [0, 0], (box.root / "stderr").read_text()

    @property
    def results(self) -> Path:
        """A results folder with three records and their run folders."""
        return self.root / "results"

    @property
    def truth(self) -> Path:
        """A results folder with ground truth of five nets and its records."""
        return self.root / "truth"

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    @cached_property
    def records(self) -> list[Path]:
        """Record files, those of the runs first, some committed ones after."""
        ours = sorted(self.results.glob("records/*/*/*.json"))
        return ours + sorted((ROOT / "results" / "records").glob("*/*/*-s0-*.json"))[:6]

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """Name -> bytes of one image in each format and mode."""
        return {path.name: path.read_bytes() for path in sorted((self.root / "images").iterdir())}

    @cached_property
    def weights(self) -> str:
        """What the interrupted run would have ended in."""
        told: dict[str, Any] = json.loads((self.root / "made" / "deps-0" / "stdout").read_text())
        return str(told["weights_sha256"])


def _rotated() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _stopped_child(box: Box, arrange: Callable[[], None]) -> None:
    """Never returns."""
    try:
        os.chdir(box.work)
        os.environ.update(box.environment())
        for number in (1, 2):
            os.dup2(os.open(box.root / "stdout", os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
        from ofa_bench.cli.main import main

        arrange()
        main(["run", "--method", "deps", "--seed", "0", *TINY])
    finally:
        os._exit(0)


def _stop_at(step: int) -> None:
    from ofa_bench.hooks.bus import Bus

    draws = Bus.draws

    def stopping(bus: Any, this: Any, probe: Any) -> Any:
        if this.index == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return draws(bus, this, probe)

    Bus.draws = stopping  # type: ignore[method-assign]


def _stop_scoring() -> None:
    from ofa_bench.evaluation.kept_scores import KeptScores

    write = KeptScores.write

    def stopping(scores: Any, kept: Any) -> None:
        write(scores, kept)
        os.kill(os.getpid(), signal.SIGTERM)

    KeptScores.write = stopping  # type: ignore[method-assign]
