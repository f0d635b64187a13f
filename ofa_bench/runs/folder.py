"""A run's folder: read and write `run.json`, and compare it with the run to resume.

The folder is untrusted input. Nothing in it is executed, no path that it names is written to, and
every value is validated. Torch-free.
"""

from __future__ import annotations

import heapq
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from ofa_bench.atomic_io import sha256_file, write_whole
from ofa_bench.errors import ResumeError, UsageError
from ofa_bench.hooks.policy import Policy
from ofa_bench.limits import advice, limit
from ofa_bench.recipe import Request, is_set
from ofa_bench.recipe.fingerprint import difference
from ofa_bench.records.json_text import first_fault
from ofa_bench.runs.requests import subnet_table
from ofa_bench.sanitize import plain_text

if TYPE_CHECKING:
    from ofa_bench.runs.runner import RunContext

NAMES = ("data_dir", "init", "teacher", "recipe")  # options that are paths
LISTED = 3  # files that an error names, of those that changed
ANEW = "start anew with --fresh"
Name = Annotated[StrictStr, Field(max_length=1000)]
Digest = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]


class Hashes(BaseModel):
    """The hashes that make up the run id, part by part. `named`: hashes of the code and table files
    of the command line, by absolute path."""

    model_config = ConfigDict(frozen=True)

    data: Name
    splits: dict[Name, Name] = {}
    code: tuple[Name, ...] = ()
    files: dict[Name, Digest] = {}
    numerics: Name = ""
    named: dict[Name, Digest] = {}

    def part(self, name: str) -> str | None:
        """The value of `name:value` in `code`, such as the network's hash or the decoder's id."""
        return dict(part.partition(":")[::2] for part in self.code).get(name)


class Begun(BaseModel):
    """The content of `run.json`."""

    model_config = ConfigDict(frozen=True)

    run: Name
    run_id: Digest
    command: Annotated[StrictStr, Field(max_length=100_000)]
    request: dict[Name, Any]
    science: dict[Name, Any]
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)]
    threads: Annotated[StrictInt, Field(ge=1, le=4096)]
    started: Annotated[StrictStr, Field(pattern=r"^[0-9T:.+Z-]{10,40}$")]
    hashes: Hashes | None = None

    def named(self, file: object) -> str | None:
        """The hash that a code or table file had when the run began."""
        return self.hashes.named.get(str(file)) if self.hashes else None


def read_begun(folder: Path) -> Begun:
    """Read a folder's `run.json`. Raises ResumeError with the file and the invalid field."""
    path = folder / "run.json"
    try:
        content = json.loads(_text(path))
        begun = Begun.model_validate(content)
        datetime.fromisoformat(begun.started)
        # Lone surrogates stand for bytes of a path that are no UTF-8; no file takes any others.
        json.dumps(content, ensure_ascii=False).encode(errors="surrogateescape")
    except FileNotFoundError as error:
        raise ResumeError(
            f"{folder} does not hold a begun run", "`ofa-bench runs` lists what there is"
        ) from error
    except ValidationError as error:
        reason = first_fault(error, "the file")
        raise ResumeError(f"{path}: {reason}", f"the file was changed; {ANEW}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ResumeError(
            f"{path} cannot be read: {plain_text(str(error))}", f"the file was changed; {ANEW}"
        ) from error
    return begun


def _text(path: Path) -> str:
    """The text of a regular file within the size limit. Raises ValueError for links and pipes."""
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it is a link, or no regular file")
    if about.st_size > limit("run-file-bytes"):
        raise ResumeError(
            f"{path} holds {about.st_size:,} bytes, over the bound of {limit('run-file-bytes'):,}",
            advice("run-file-bytes", about.st_size),
        )
    return path.read_text(encoding="utf-8")


def refuse_links(folder: Path) -> None:
    """Raise ResumeError if the run's folder, or a file written in it, is a symbolic link."""
    names = ("checkpoint", "evaluation", "events.jsonl", "heartbeat", "lock", "run.json")
    for path in (folder, *(folder / name for name in (*names, "weights.safetensors"))):
        if path.is_symlink():
            raise ResumeError(
                f"{path} is a link: what is written there would land elsewhere",
                "copy the files themselves into the run's folder",
            )


def write_begun(prepared: RunContext, command: str, threads: int, started: str) -> None:
    """Write `run.json` of a new run: the request, and the hashes that `resume` compares."""
    request, recipe, identity = prepared.request, prepared.assembly.recipe, prepared.identity
    hashes = {
        "data": identity.data,
        "splits": prepared.source.splits_hash,
        **identity.hashed.model_dump(mode="json"),
        "named": {path: sha256_file(Path(path)) for path in named_files(request)},
    }
    values = {
        "run": identity.name,
        "run_id": identity.run,
        "request": requested(request),
        "science": recipe.science.model_dump(mode="json"),
        "command": command,
        "seed": recipe.seed,
        "threads": threads,
        "started": started,
        "hashes": hashes,
    }
    write_whole(prepared.folder / "run.json", json.dumps(values, indent=1) + "\n")


def named_files(request: Request) -> Iterator[str]:
    """The code and table files that a request names, as absolute paths."""
    tables = [name for name in (request.recipe, request.space) if name is not None]
    for name in (*request.plugins, *tables):
        if str(name).endswith((".py", ".toml")) or name is request.recipe:
            yield str(Path(name).absolute())


def requested(request: Request) -> dict[str, Any]:
    """A request as JSON values with absolute paths, so that it holds from any folder.

    A policy instance is represented by its class name alone.
    """
    values: dict[str, Any] = {}
    for name, value in vars(request).items():
        if not is_set(value) or name == "recorded":
            continue
        if isinstance(value, Policy):
            values[name] = {"class": type(value).__name__}
        elif name in NAMES or (name == "space" and str(value).endswith(".toml")):
            values[name] = str(Path(value).absolute())
        elif name == "plugins":
            values[name] = [str(Path(file).absolute()) for file in value]
        elif isinstance(value, tuple):
            values[name] = list(value)
        else:
            values[name] = value if isinstance(value, int | float) else str(value)
    return values


def check_same(begun: Begun, folder: Path, prepared: RunContext, inputs: Iterable[Path]) -> None:
    """Raise ResumeError with the differences if a run is not the one that began in a folder.

    `inputs`: its files and folders, of which the message names those that changed since.
    """
    if begun.run_id == prepared.identity.run:
        return
    lines = list(_differences(begun, prepared))
    lines = lines or ["its data, plugin files or starting weights changed"]
    changed = changed_since(begun.started, inputs)
    lines += [f"changed since: {plain_text(path)}" for path in changed]
    raise ResumeError(
        f"{folder} holds another run: {'; '.join(lines)}",
        "restore the original inputs, or start a new run with `ofa-bench run`",
    )


def _differences(begun: Begun, prepared: RunContext) -> Iterator[str]:
    identity, splits = prepared.identity, prepared.source.splits_hash
    ours, theirs = prepared.assembly.science.model_dump(mode="json"), dict(begun.science)
    for fields in (ours, theirs):
        fields.pop("space", None)  # a table may have moved; its hash is compared below
    yield from (plain_text(line) for line in difference(ours, theirs))
    hashes = begun.hashes
    if hashes is None:
        return
    if hashes.data != identity.data:
        changed = [name for name, value in splits.items() if hashes.splits.get(name) != value]
        yield f"the images differ (split {', '.join(changed)})" if changed else "the images differ"
    then = dict(part.partition(":")[::2] for part in hashes.code)
    now = dict(part.partition(":")[::2] for part in identity.hashed.code)
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            label = {n: f"the {n}" for n in ("network", "space", "decoder")}.get(name, name)
            yield f"the code or table of {plain_text(label)} differs"
    for name in sorted({*hashes.files, *identity.hashed.files}):
        if hashes.files.get(name) != identity.hashed.files.get(name):
            yield f"the weights of --{plain_text(name)} differ"
    if hashes.numerics != identity.hashed.numerics:
        yield "this version of ofa-bench computes differently"


def changed_since(started: str, paths: Iterable[Path]) -> list[str]:
    """The files, at or below these paths, that were last modified after a time: the latest few."""
    since = datetime.fromisoformat(started).timestamp()
    stamps: list[tuple[float, str]] = []
    for path in (file for root in paths for file in _below(root)):
        with suppress(OSError):
            stamps.append((path.stat().st_mtime, str(path)))
    latest = heapq.nlargest(LISTED, (stamp for stamp in stamps if stamp[0] > since))
    return [path for _, path in latest]


def _below(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(files))


def named_again(begun: Begun, folder: Path, trust: bool, **options: Any) -> dict[str, Any]:
    """The request fields of a begun run, updated with `options`.

    Code and table files come from `options`, or with `trust` from the paths in `run.json` if their
    hashes match. Raises UsageError with the file, the key and the option otherwise.
    """
    values = dict(begun.request)
    if "recorded" in values:
        raise ResumeError(
            f"{folder / 'run.json'}: request.recorded is not allowed in a run",
            "the file was changed",
        )
    for family in ("shrink", "lr", "distill"):
        if isinstance(values.get(family), dict):
            raise ResumeError(
                f"{folder.name} began with a {family} policy from Python",
                "make the same call again to resume",
            )
    values |= {name: value for name, value in options.items() if is_set(value)}
    for name, flag in (("plugins", "--plugin"), ("recipe", "--recipe"), ("space", "--space")):
        recorded = begun.request.get(name)
        if not is_set(recorded) or is_set(options.get(name)):
            continue
        files = recorded if isinstance(recorded, list) else [recorded]
        if name == "space" and not str(recorded).endswith(".toml"):
            continue
        for file in files:
            if name == "space" and (table := subnet_table(folder, str(file), begun.named(file))):
                values[name] = table
                continue
            _trusted(begun, folder, name, flag, str(file), trust)
    return values


def _trusted(begun: Begun, folder: Path, key: str, flag: str, file: str, trust: bool) -> None:
    where = f"{folder / 'run.json'}: request.{key} names {plain_text(file)}"
    if not trust:
        raise UsageError(
            f"{where}, which is used only if you name it yourself",
            f"add {flag} {plain_text(file)}, or --trust if you trust this folder",
        )
    if not Path(file).is_file():
        raise UsageError(f"{where}, which is not there", f"name it with {flag} FILE")
    if begun.named(file) != sha256_file(Path(file)):
        raise UsageError(
            f"{where}, which is not the file that the run began with",
            f"bring that one back, or name it with {flag} FILE",
        )
