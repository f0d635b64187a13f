"""Download one published file: resumed where it broke off, and checked by its hashes. Torch-free.

The bytes go to NAME.part; NAME.part.json notes which version of the file they are of (its ETag,
else its Last-Modified), so that a part is continued only if the server still has that version
(If-Range, RFC 9110, 13.1.5). The name appears when the whole file has the published hashes.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

from ofa_bench import __version__
from ofa_bench.atomic_io import open_regular, sync, write_whole
from ofa_bench.data.discovery.datasets import PublishedFile
from ofa_bench.data.discovery.fetch.addresses import opener_for, shown_address
from ofa_bench.errors import BenchError, DataError
from ofa_bench.locks import exclusive_folder

ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt; twice as many before each later one
TIMEOUT = 30.0  # seconds without a byte
PIECE = 1 << 16
LONGEST_NOTE = 1 << 16
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses that may be others a little later
ON = "the same line goes on where it stopped"
Progress = Callable[[int, int], None]
"""Called with the bytes that are here, and those of the whole file."""


class BrokenOff(Exception):
    """A connection failed in a way that another attempt may mend."""


def download(
    file: PublishedFile,
    target: Path,
    *,
    address: str | None = None,
    progress: Progress | None = None,
    pause: float = PAUSE,
) -> bool:
    """Download a file to `target`; False if it was there already.

    `address` replaces its own. Raises DataError if what comes is another file, or the server leads
    elsewhere; BenchError if it cannot be reached or there is no room.
    """
    transfer = _Transfer(address or file.url, target, file.bytes, progress)
    transfer.make_folder()
    with exclusive_folder(target.parent):
        if target.exists():
            _check_hashes(target, file, f"remove {target}, or name another folder")
            return False
        transfer.check_room()
        _attempts(transfer, pause)
        _keep(transfer, target, file)
    return True


def _attempts(transfer: _Transfer, pause: float) -> None:
    for attempt in range(ATTEMPTS):
        try:
            transfer.attempt()
            break
        except BrokenOff as error:
            if attempt == ATTEMPTS - 1:
                raise BenchError(
                    f"{transfer.shown} did not come whole: {error}",
                    f"{ON}; behind a proxy, set HTTPS_PROXY",
                ) from error
            time.sleep(pause * 2**attempt)


def _keep(transfer: _Transfer, target: Path, file: PublishedFile) -> None:
    try:
        _check_hashes(transfer.part, file, "try again; a proxy or a mirror may have changed it")
    except DataError:
        transfer.forget()
        raise
    sync(transfer.part)
    transfer.part.rename(target)
    target.chmod(0o644)
    transfer.forget()


def _check_hashes(path: Path, file: PublishedFile, hint: str) -> None:
    hashes = {"md5": hashlib.md5(usedforsecurity=False), "sha256": hashlib.sha256()}
    with open_regular(path) as stream:
        while piece := stream.read(1 << 20):
            for known in hashes.values():
                known.update(piece)
    for name, published in (("sha256", file.sha256), ("md5", file.md5)):
        if hashes[name].hexdigest() != published:
            raise DataError(
                f"{path} is not the published file: its {name} is {hashes[name].hexdigest()}, "
                f"published is {published}",
                hint,
            )


class _Transfer:
    """One file on its way."""

    def __init__(self, address: str, target: Path, size: int, progress: Progress | None) -> None:
        self.address, self.size, self.progress = address, size, progress
        self.shown = shown_address(address)
        self.part = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self._opener = opener_for(address)

    def make_folder(self) -> None:
        """Make the folder that the file goes to. Raises BenchError."""
        try:
            self.part.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.part, error) from error

    def check_room(self) -> None:
        """Raise BenchError if the disk has no room for what is missing."""
        try:
            here = self.part.stat().st_size if self.part.is_file() else 0
            free = shutil.disk_usage(self.part.parent).free
        except OSError as error:
            raise _unwritable(self.part, error) from error
        if self.size - here > free:
            raise BenchError(
                f"{self.part.name} needs {(self.size - here) / 1e6:,.1f} MB in "
                f"{self.part.parent}, which has {free / 1e6:,.1f} MB free",
                "free some, or give --data-dir on a larger disk",
            )

    def forget(self) -> None:
        """Remove what is here of it."""
        self.part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def attempt(self) -> None:
        """One request, for what is missing. Raises BrokenOff, DataError or BenchError."""
        begun, version = self._begun()
        if begun == self.size:
            return
        headers = {"User-Agent": f"ofa-bench/{__version__}", "Accept-Encoding": "identity"}
        if begun:
            headers |= {"Range": f"bytes={begun}-", "If-Range": version}
        request = Request(self.address, headers=headers)
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                self._receive(response, self._start(response, begun, version))
        except HTTPError as error:
            self._refused(error)
        except (URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise BrokenOff(str(reason) or type(error).__name__) from error

    def _begun(self) -> tuple[int, str]:
        """Bytes that are here, and the version they are of; 0 if that is not known."""
        try:
            with open_regular(self._note) as file:
                note = json.loads(file.read(LONGEST_NOTE))
            here = self.part.lstat().st_size
            version = str(note["version"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return 0, ""
        usable = note.get("address") == self.shown and version.isprintable() and version.isascii()
        return (here, version) if usable and version and here <= self.size else (0, "")

    def _start(self, response: Any, begun: int, version: str) -> int:
        """The position of the first byte that comes. Raises DataError if it is another file."""
        length = response.headers.get("Content-Length", "")
        whole, start = int(length) if length.isdecimal() else self.size, 0
        if response.status == 206:
            span = RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if span is None or int(span[1]) != begun or _version(response) not in ("", version):
                self.forget()
                raise BrokenOff("the server sent another part than the one that is missing")
            whole, start = int(span[3]), begun
        if whole != self.size:
            self.forget()
            raise DataError(
                f"{self.shown} is a file of {whole:,} bytes, published are {self.size:,}",
                "it is another file: check the address, or try again later",
            )
        if not start:
            note = {"address": self.shown, "version": _version(response)}
            write_whole(self._note, json.dumps(note), durable=False)
        return start

    def _receive(self, response: Any, start: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = os.open(self.part, flags | (0 if start else os.O_TRUNC), 0o600)
        except OSError as error:
            raise _unwritable(self.part, error) from error
        count = start
        with open(handle, "wb", closefd=True) as file:
            file.seek(start)
            while piece := response.read1(PIECE):  # what is there, without waiting for more
                count += len(piece)
                if count > self.size:
                    break
                try:
                    file.write(piece)
                    file.flush()
                except OSError as error:
                    raise _unwritable(self.part, error) from error
                if self.progress:
                    self.progress(count, self.size)
        if count > self.size:
            self.forget()
            raise DataError(
                f"{self.shown} is longer than the {self.size:,} bytes that are published",
                "it is another file: check the address, or try again later",
            )
        if count < self.size:
            raise BrokenOff(f"the connection ended after {count:,} of {self.size:,} bytes")

    def _refused(self, error: HTTPError) -> None:
        with suppress(OSError):
            error.close()
        if error.code == 416:  # the part reaches beyond the end
            self.forget()
            raise BrokenOff("the server has no such part of it") from error
        if error.code in PASSING:
            raise BrokenOff(f"the server answered with status {error.code}") from error
        raise BenchError(
            f"{self.shown} cannot be had: the server answered with status {error.code}",
            "check the address; the archive may also be copied there by hand",
        ) from error


def _version(response: Any) -> str:
    """What a server names the version by: a strong ETag, else a date; else nothing."""
    tag = str(response.headers.get("ETag") or "")
    return tag if tag.startswith('"') else str(response.headers.get("Last-Modified") or "")


def _unwritable(path: Path, error: OSError) -> BenchError:
    return BenchError(
        f"cannot write {path}: {error.strerror or error}",
        "free some space, or give --data-dir a folder that you may write to",
    )
