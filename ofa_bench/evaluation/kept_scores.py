"""Scores of an evaluation kept on disk chunk by chunk, so that it can go on where it was."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ofa_bench.atomic_io import open_regular, write_whole
from ofa_bench.data.sources.source import HeldOut
from ofa_bench.evaluation.chunks import ScoredChunk
from ofa_bench.limits import limit
from ofa_bench.sanitize import plain_text
from ofa_bench.space import Subnet

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

MOST_FILES = 1_000_000
LONGEST = 1e9  # seconds of an evaluation
HEADER = 8  # bytes of a safetensors file that hold the length of its header


class KeptChunk(NamedTuple):
    """A chunk's scores from a file, and the seconds that they took."""

    scored: ScoredChunk
    seconds: float


@dataclass(frozen=True)
class KeptScores:
    """A folder with the scores of one evaluation, a file a chunk; `evaluation` is the hash of all
    that they follow from. Files that are torn, or of another evaluation, are ignored."""

    folder: Path
    evaluation: str
    subnets: Sequence[Subnet]
    sizes: Mapping[str, int]
    chunk: int
    note: Callable[[str], None] = field(default=lambda text: None, compare=False)

    def write(self, kept: KeptChunk) -> None:
        """Write one file, whole or not at all. It is not flushed to the disk: what a power failure
        tears is scored again."""
        import numpy as np
        from safetensors.numpy import save

        scored = kept.scored
        tensors: dict[str, Any] = {
            "positions": np.asarray(scored.positions, np.int32),
            "bits": np.packbits(scored.marks, axis=1),
        }
        about = {
            "evaluation": self.evaluation,
            "split": scored.split,
            "resolution": str(scored.resolution),
            "number": str(scored.number),
            "seconds": repr(kept.seconds),
        }
        about["sha256"] = _seal(about, tensors)
        first = scored.positions[0]
        name = f"{scored.resolution}-{scored.split}-{scored.number:06d}-{first}.safetensors"
        write_whole(self.folder / name, save(tensors, about), durable=False)

    def read(self) -> list[KeptChunk]:
        """The valid files' scores; how many files are not used, and why, is noted."""
        chunks: list[KeptChunk] = []
        reasons: dict[str, int] = defaultdict(int)
        for path in sorted(self.folder.glob("*.safetensors"))[:MOST_FILES]:
            try:
                chunks.append(self._parsed(path))
            except (OSError, ValueError, TypeError, LookupError, ArithmeticError) as error:
                reasons[plain_text(str(error), 200)] += 1
            except Exception as error:  # what foreign bytes raise has no bound
                reasons[f"{type(error).__name__}"] += 1
        for reason, count in reasons.items():
            self.note(
                f"{count} file{'s' * (count > 1)} of scores in {self.folder} not used: {reason}"
            )
        return chunks

    def _parsed(self, path: Path) -> KeptChunk:
        """A file's scores. Raises ValueError, OSError or another error of foreign bytes."""
        from safetensors.numpy import load

        raw = _bytes(path)
        header = json.loads(raw[HEADER : HEADER + int.from_bytes(raw[:HEADER], "little")])
        about = dict(header["__metadata__"])
        tensors = load(raw)
        if about.pop("sha256", None) != _seal(about, tensors):
            raise ValueError("torn or changed")
        if about["evaluation"] != self.evaluation:
            raise ValueError("scored on another machine, or with other weights, images or code")
        return KeptChunk(self._scored(about, tensors), _seconds(about["seconds"]))

    def _scored(self, about: Mapping[str, str], tensors: Mapping[str, Any]) -> ScoredChunk:
        import numpy as np

        resolution, number = int(about["resolution"]), int(about["number"])
        split: HeldOut = "select" if about["split"] == "select" else "test"
        images = min(self.chunk, self.sizes[split] - self.chunk * number)
        positions, bits = tensors["positions"], tensors["bits"]
        rows = [int(position) for position in positions]
        sound = (
            (positions.dtype, bits.dtype) == (np.int32, np.uint8)
            and about["split"] == split
            and (number >= 0 < images)
            and bits.shape == (len(rows), -(-images // 8))
            and 0 < len(rows) == len(set(rows))
            and 0 <= min(rows) <= max(rows) < len(self.subnets)
            and all(self.subnets[row].resolution == resolution for row in rows)
        )
        if not sound:
            raise ValueError("holds no scores of this evaluation")
        marks: NDArray[numpy.bool_] = np.unpackbits(bits, axis=1, count=images).astype(bool)
        return ScoredChunk(resolution, split, number, tuple(rows), marks)


def _bytes(path: Path) -> bytes:
    """A regular file's bytes within the limit."""
    if path.is_symlink():
        raise ValueError("is a link")
    most = limit("bits-bytes")
    with open_regular(path) as stream:
        raw = stream.read(most + 1)
    if not HEADER < len(raw) <= most:
        raise ValueError("torn or changed" if len(raw) <= most else f"over {most:,} bytes")
    return raw


def _seal(about: Mapping[str, str], tensors: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].shape}{tensors[name].dtype}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= LONGEST):
        raise ValueError("has an impossible time")
    return value
