"""What a launch leaves in `results/runs/launches/`: batches, families' files, answers. Torch-free.

The folder is in the results, so what is read from it is a stranger's: sizes are bounded, names are
hexadecimal, and an answer only says which record to look at.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from ofa_bench.atomic_io import make_folder, refuse_links, sha256_file, write_whole
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.limits import limit
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.identity import identify
from ofa_bench.recipe import Request
from ofa_bench.recipe.fingerprint import canonical
from ofa_bench.recipe.initial_weights import split_set
from ofa_bench.records.store import read_bytes
from ofa_bench.runs.folder import requested
from ofa_bench.runs.requests import FLAGS
from ofa_bench.seeding import digest

LAUNCHES = "launches"  # the folder, beside those of the runs
SHARED_BY_ROWS = ("seed", "results", "fresh", "plugins")  # said once, on the command line
KEY = 16  # hex digits
Key = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{16}$")]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TaskFile(_Read):
    """A task as its batch lists it: the name of its files, and the keys of its runs."""

    key: Key
    runs: tuple[Key, ...] = Field(min_length=1, max_length=10_000)


class BatchFile(_Read):
    """One submission."""

    name: Annotated[StrictStr, Field(pattern=r"^ofa-bench-[0-9a-f]{8}-\d{1,6}$")]
    launcher: Annotated[StrictStr, Field(max_length=200)]
    tasks: tuple[TaskFile, ...] = Field(max_length=100_000)


class RunAnswer(_Read):
    """What became of one run: the record it made, or its error."""

    key: Key
    run: Annotated[StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$", max_length=100)] | None = (
        None
    )
    error: StrictStr | None = None


class TaskAnswer(_Read):
    """What a task printed: `runs` where it came to its end, else `error` and the exit code."""

    runs: tuple[RunAnswer, ...] = Field(default=(), max_length=10_000)
    error: StrictStr | None = None
    exit: StrictInt = 0


@dataclass(frozen=True)
class LaunchFolder:
    """The folder of all launches of a results root."""

    results: Path

    @property
    def root(self) -> Path:
        """Where it is."""
        return self.results / "runs" / LAUNCHES

    def make(self) -> None:
        """Create it. Raises BenchError where it holds a link."""
        make_folder(self.results, self.root)
        refuse_links(self.root)

    def path(self, key: str, suffix: str) -> Path:
        """The absolute path of a task's or batch's file."""
        return self.root.absolute() / f"{key}.{suffix}"

    def write(self, key: str, suffix: str, text: str) -> Path:
        """Write one, whole."""
        write_whole(self.path(key, suffix), text, root=self.results.absolute())
        return self.path(key, suffix)

    def batches(self) -> Iterator[BatchFile]:
        """The submissions so far, by name; one that cannot be read is left out."""
        for path in sorted(self.root.glob("ofa-bench-*.json")):
            batch = _parsed(BatchFile, path)
            if batch is not None and batch.name == path.stem:
                yield batch

    def answer(self, key: str) -> TaskAnswer | None:
        """A task's answer; None while it has none, or one that is cut off."""
        answer: TaskAnswer | None = _parsed(TaskAnswer, self.path(key, "json"), last=True)
        return answer


def _parsed(model: type[Any], path: Path, last: bool = False) -> Any:
    """What a file holds; `last`: the last of its documents, for a restarted run writes another."""
    try:
        text = read_bytes(path, "run-file-bytes").decode()
        value, end = json.JSONDecoder().raw_decode(text)
        while rest := text[end:].lstrip():
            if not last:
                return None
            text = rest
            value, end = json.JSONDecoder().raw_decode(text)
        return model.model_validate(value)
    except (UsageError, ValidationError, ValueError, RecursionError):
        return None


def run_key(asked: Request, assembly: Assembly) -> str:
    """Names a run before its images are opened: by recipe, seed, code, the path of its images and
    the bytes of the weights it starts from.

    Two runs of one key are the same run as long as the images stay what they are.
    """
    science = {**assembly.science.model_dump(mode="json"), "space": assembly.space.name}
    code = identify(assembly, "", {}).hashed.code
    images = ""
    if assembly.spec.layout != "embedded":
        images = str(Path(asked.data_dir or os.environ.get("OFA_BENCH_DATA") or "data").absolute())
    weights = (("init", asked.init), ("teacher", asked.teacher))
    starts = [(kind, _version(path)) for kind, path in weights if path]
    parts = (canonical(science), assembly.recipe.seed, code, images, starts, asked.init_head)
    return digest(*parts)[:KEY]


def _version(name: str | Path) -> tuple[str, str]:
    """A weights file, or that of a run's folder, by the hash of its bytes, and the set of weights
    in it; by its path where that is not possible, which the run itself refuses."""
    where, key = split_set(name)
    file = where / "weights.safetensors" if where.is_dir() else where
    try:
        about = file.stat()
        sound = stat.S_ISREG(about.st_mode) and about.st_size <= limit("weights-bytes")
        version = _hash(file, about.st_size, about.st_mtime_ns) if sound else str(where.absolute())
    except OSError:
        version = str(where.absolute())
    return version, key


@lru_cache(maxsize=64)
def _hash(file: Path, size: int, mtime: int) -> str:
    """The hash of a file, computed once for all runs that start from it."""
    return sha256_file(file)


def family_file(family: Sequence[Request]) -> str:
    """The runs of a family as a comparison's file, with absolute paths, for `compare FILE`.

    Raises BenchError where a value cannot stand in TOML.
    """
    lines = ["# A family of runs, which share their beginning. Written by --launch."]
    lines.append(f"seeds = [{family[0].seed}]")
    for asked in family:
        lines += ["", "[[rows]]"]
        for name, value in requested(asked).items():
            if name not in SHARED_BY_ROWS:
                lines.append(f"{FLAGS.get(name, name)} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def family_words(family: Sequence[Request], file: Path, results: Path) -> tuple[str, ...]:
    """The command that trains a family, from any directory."""
    files = [file for asked in family for file in requested(asked).get("plugins", ())]
    plugins = [word for path in dict.fromkeys(files) for word in ("--plugin", str(path))]
    folder = ("--results", str(results.absolute()))
    return ("compare", str(file), *folder, *plugins, "--yes", "--json")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise BenchError(
            f"{str(value)!r} cannot stand in a TOML file", "name files in valid UTF-8"
        ) from error
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of this process that tasks need too, wherever they run."""
    names = ("OFA_BENCH_DATA", "OFA_BENCH_LIMITS", "OFA_BENCH_PLUGINS")
    chosen = {name: environment[name] for name in names if environment.get(name)}
    if "OFA_BENCH_DATA" in chosen:
        chosen["OFA_BENCH_DATA"] = str(Path(chosen["OFA_BENCH_DATA"]).absolute())
    return chosen
