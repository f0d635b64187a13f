"""Scores of a finished run's subnets, kept on disk as they come; torch is imported to score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from ofa_bench.atomic_io import make_folder, sha256_file, write_whole
from ofa_bench.errors import ResumeError, UsageError
from ofa_bench.locks import exclusive
from ofa_bench.records.json_text import parsed
from ofa_bench.records.parts import Count, Hash, Part
from ofa_bench.records.searches.schema import SelectHits, SplitSizes
from ofa_bench.records.searches.store import search_folder
from ofa_bench.records.store import read_bytes
from ofa_bench.runs.finished import FinishedRun, Opened
from ofa_bench.sanitize import plain_text
from ofa_bench.seeding import digest
from ofa_bench.space import Space, Subnet
from ofa_bench.training.callbacks import Progress

if TYPE_CHECKING:
    from ofa_bench.nets.protocol import Supernet

BATCH = 64  # nets that are scored together, and lost together where a search is cut off
FORMAT = 1
Split = Literal["select", "test"]


class TestHits(Part):
    """A subnet and how many of the test images it gets right."""

    subnet: dict[str, Any]
    test: Count


class ScoreFile(Part):
    """`searches/<run>/scores/<hash>.json`: what is known of one set of weights on one data set."""

    version: Literal[1] = Field(default=1, alias="schema")
    run: str = Field(max_length=100)
    weights: Hash
    data: str = Field(max_length=1000)
    images: SplitSizes
    torch: str = Field(max_length=100)
    select: tuple[SelectHits, ...] = Field(max_length=200_000)
    test: tuple[TestHits, ...] = Field(max_length=200_000)


class ScoredNets:
    """Hits per subnet and split, from the file where they are there, else from the network.

    The run's network is opened at the first subnet that is not in the file. Every batch is written
    before the next one begins, so that a search that is cut off goes on where it was.
    """

    def __init__(self, run: FinishedRun, space: Space, progress: Progress, stack: ExitStack):
        self._run, self._space, self.progress, self._stack = run, space, progress, stack
        self._opened: Opened | None = None
        self.weights = sha256_file(run.folder / "weights.safetensors")
        hashes = run.begun_run.begun.hashes
        self.data = hashes.data if hashes is not None else ""
        key = digest(self.weights, self.data)[:16]
        self.path = search_folder(run.results, run.folder.name) / "scores" / f"{key}.json"
        self.hits: dict[Split, dict[Subnet, int]] = {"select": {}, "test": {}}
        self.images = SplitSizes(select=0, test=0)
        self.torch = ""
        self.scored_now = 0
        self.note: Callable[[int], str] = lambda count: f"scoring {count} subnets"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Read the file, and keep other searches of the run from it meanwhile."""
        make_folder(self._run.results, self.path.parent)
        lock = self.path.with_suffix(".lock")
        subject = f"the scores of {self._run.folder.name}"
        with exclusive(lock, subject=subject, tell=self.progress.note):
            self._read()
            yield

    def select(self, subnets: Sequence[Subnet]) -> dict[Subnet, int]:
        """How many select images each subnet gets right."""
        return self._of("select", subnets)

    def test(self, subnets: Sequence[Subnet]) -> dict[Subnet, int]:
        """How many test images each subnet gets right: only for those that a search names."""
        return self._of("test", subnets)

    def _of(self, split: Split, subnets: Sequence[Subnet]) -> dict[Subnet, int]:
        known = self.hits[split]
        missing = sorted({net for net in subnets if net not in known}, key=self._depth_first)
        if missing:
            self.progress.note(self.note(len(missing)))
        for start in range(0, len(missing), BATCH):
            self._score(split, missing[start : start + BATCH], start, len(missing))
        return {net: known[net] for net in subnets}

    def _score(self, split: Split, nets: Sequence[Subnet], done: int, of: int) -> None:
        import torch

        from ofa_bench.evaluation.score import score

        opened = self._open()

        def after_chunk(chunks: int, total: int) -> None:
            share = done + len(nets) * chunks / total
            self.progress.evaluating(int(share), of, "subnets")

        results = score(
            opened.net,
            nets,
            opened.source,
            splits=(split,),
            chunk=opened.assembly.science.evaluate.chunk,
            devices=opened.devices,
            tell=after_chunk,
        )
        hits = {result.subnet: int(result.correct[split].sum()) for result in results}
        self.hits[split] |= hits
        self.torch = torch.__version__
        self.scored_now += len(nets)
        self._write()

    def network(self) -> Supernet:
        """The run's network, which is opened if it is not yet."""
        return self._open().net

    def _open(self) -> Opened:
        if self._opened is None:
            self._opened = self._stack.enter_context(self._run.open())
            sizes = self._opened.source.sizes
            images = SplitSizes(select=sizes["select"], test=sizes["test"])
            if self.images not in (images, SplitSizes(select=0, test=0)):
                raise ResumeError(
                    f"{self.path}: was made of {self.images.select} select and "
                    f"{self.images.test} test images, and here are others",
                    "remove it",
                )
            self.images = images
        return self._opened

    def _depth_first(self, subnet: Subnet) -> tuple[object, ...]:
        """The order in which subnets that begin alike are neighbours."""
        return (subnet.resolution, [part[1:] for part in self._space.active(subnet)])

    def _read(self) -> None:
        if not self.path.exists():
            return
        try:
            file = parsed(ScoreFile, read_bytes(self.path, "search-bytes"))
            if (file.weights, file.data) != (self.weights, self.data):
                raise ValueError("holds scores of other weights")
            for entry in file.select:
                self._take("select", entry.subnet, entry.select, file.images.select)
            for tested in file.test:
                self._take("test", tested.subnet, tested.test, file.images.test)
        except (ValidationError, ValueError, RecursionError, UsageError) as error:
            reason = getattr(error, "message", None) or str(error).replace("\n", " ")
            reason = reason.removeprefix(f"{plain_text(self.path)}: ")
            raise ResumeError(
                f"{plain_text(self.path)}: {plain_text(reason)}",
                "the file was changed or cut off; remove it, and its subnets are scored again",
            ) from error
        self.images, self.torch = file.images, file.torch

    def _take(self, split: Split, values: Mapping[str, Any], hits: int, images: int) -> None:
        if hits > images:
            raise ValueError("a subnet gets more images right than there are")
        self.hits[split][self._run.space.subnet(values)] = hits

    def _write(self) -> None:
        values: dict[str, Any] = {
            "schema": FORMAT,
            "run": self._run.folder.name,
            "weights": self.weights,
            "data": self.data,
            "images": self.images.model_dump(),
            "torch": self.torch,
            **{
                split: [{"subnet": net.to_json(), split: hits} for net, hits in known.items()]
                for split, known in self.hits.items()
            },
        }
        write_whole(self.path, json.dumps(values) + "\n", root=self._run.results)
