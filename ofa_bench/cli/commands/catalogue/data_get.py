"""`ofa-bench data get`: download a data set that may be downloaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import RUN_OPTIONS, json_option
from ofa_bench.errors import UsageError
from ofa_bench.formatting import count
from ofa_bench.sanitize import command_line

if TYPE_CHECKING:
    from ofa_bench.data.discovery.datasets import DatasetSpec

CONFIRM_ABOVE = 10**9  # bytes of a download


@click.command("get")
@click.argument("dataset", metavar="DATASET|hf:USER/NAME")
@RUN_OPTIONS["data_dir"]
@click.option("--mirror", metavar="URL", help="An https folder that has the same archive.")
@click.option("--revision", metavar="COMMIT", help="Of a hub's data set; the newest unless given.")
@click.option("--yes", is_flag=True, help="Do not ask before a large download.")
@json_option
def get(
    dataset: str,
    data_dir: str | None,
    mirror: str | None,
    revision: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Download cifar10, cifar100 or a hub's data set into --data-dir.

    An interrupted download goes on where it stopped. Archives are compared with their published
    hashes; of a hub's data set only parquet files are taken, at one commit, which is told and kept
    beside them.
    """
    from ofa_bench.optional.hugging_face import PREFIX
    from ofa_bench.training.interrupts import listening

    with listening() as stop:
        stop.hint = "the same line goes on where it stopped"
        if dataset.startswith(PREFIX):
            if mirror is not None:
                raise click.UsageError("--mirror is for archives; set HF_ENDPOINT for a hub.")
            folder = _folder(data_dir, dataset.rpartition("/")[2])
            _from_hub(dataset, folder, revision, yes, as_json)
            return
        if revision is not None:
            raise click.UsageError("--revision is for a hub's data sets.")
        _archive(dataset, data_dir, mirror, as_json)


def _folder(data_dir: str | None, name: str) -> Path:
    from ofa_bench.data.discovery.layout import ENVIRONMENT

    return Path(data_dir) if data_dir else Path(os.environ.get(ENVIRONMENT) or "data") / name


def _archive(dataset: str, data_dir: str | None, mirror: str | None, as_json: bool) -> None:
    from ofa_bench.data.discovery.fetch.download import download
    from ofa_bench.hooks.catalogue import discover
    from ofa_bench.planning.assemble import spec_of

    spec = spec_of(dataset, discover().catalogue)
    if spec.download is None:
        raise _not_for_download(spec)
    target = _folder(data_dir, spec.name) / spec.download.name
    address = f"{mirror.rstrip('/')}/{spec.download.name}" if mirror else None
    fresh = download(spec.download, target, address=address, progress=_progress())
    document = {
        "dataset": spec.name,
        "file": str(target),
        "bytes": spec.download.bytes,
        "sha256": spec.download.sha256,
        "downloaded": fresh,
    }
    words = ("--dataset", spec.name, "--data-dir", target.parent)
    lines = [
        f"{target}: {spec.download.bytes:,} bytes, "
        + ("downloaded" if fresh else "was there already")
        + "; it has the published hashes",
        f"use it with {command_line(*words)}",
    ]
    console.result(as_json, document, *lines)


def _not_for_download(spec: DatasetSpec) -> UsageError:
    return UsageError(
        f"{spec.name} cannot be downloaded by this command",
        f"to get it: {spec.get}",
    )


def _from_hub(name: str, folder: Path, revision: str | None, yes: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from ofa_bench.data.discovery.fetch.repositories import get_repository

    def agree(remote: Any) -> bool:
        size = (
            f"{len(remote.files):,} parquet files, {count(remote.bytes)}B, of {remote.repository} "
            f"at {remote.revision}, into {folder}"
        )
        if remote.bytes >= CONFIRM_ABOVE and not yes and not sys.stdin.isatty():
            raise UsageError(f"nobody can be asked whether to download {size}", "--yes does it")
        console.tell(size)
        return yes or remote.bytes < CONFIRM_ABOVE or console.confirm("Download them?")

    remote = get_repository(name, folder, agree=agree, revision=revision, progress=_progress())
    line = f"{folder}: {remote.repository} at {remote.revision}, {len(remote.files):,} files"
    words = ("--dataset", "folder", "--data-dir", folder)
    lines = [line, f"use it with {command_line(*words)}"]
    console.result(as_json, {**asdict(remote), "folder": str(folder)}, *lines)


def _progress() -> Callable[[int, int], None]:
    from ofa_bench.training.callbacks import paced

    def show(work: str, done: int, of: int) -> None:
        console.tell(f"{work}: {done / 1e6:,.1f} of {of / 1e6:,.1f} MB")

    shown = paced(show, 1.0 if sys.stderr.isatty() else 10.0)
    return lambda done, of: shown("downloading", done, of)
