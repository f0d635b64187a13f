"""Downloads from a server on 127.0.0.1 that breaks off, changes its mind and lies."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from torchvision.datasets import CIFAR10, CIFAR100

import ofa_bench.planning.assemble as assemble
from ofa_bench.cli.main import main
from ofa_bench.data.discovery.datasets import PublishedFile, load_spec
from ofa_bench.data.discovery.fetch.addresses import opener_for, shown_address
from ofa_bench.data.discovery.fetch.download import download
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.open import read_collection
from ofa_bench.errors import BenchError, DataError, UsageError

NAME = "set.tar.gz"
DATA = bytes(range(256)) * 2000


class Server(ThreadingHTTPServer):
    """One file. `stops`: after how many bytes each of the next answers ends; `asked`: the Range of
    every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.tag, self.stops = DATA, '"1"', list[int]()
        self.answers: list[Callable[[Handler], None]] = []
        self.asked: list[str | None] = []
        self.announces = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.headers["Range"])
        if server.answers:
            return server.answers.pop(0)(self)
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        if self.headers["If-Range"] != server.tag:
            start = 0
        self.send_response(206 if start else 200)
        if start:
            whole = len(server.data)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if server.announces:
            self.send_header("Content-Length", str(len(server.data) - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        stop = server.stops.pop(0) if server.stops else len(server.data)
        self.wfile.write(server.data[start : start + stop])
        return None

    def lead_to(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listening = Server()
    Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield listening
    listening.shutdown()
    listening.server_close()


def published(data: bytes = DATA) -> PublishedFile:
    return PublishedFile(
        url=f"https://example.org/{NAME}",
        bytes=len(data),
        md5=hashlib.md5(data).hexdigest(),
        sha256=hashlib.sha256(data).hexdigest(),
        source="this test",
    )


def get(server: Server, folder: Path, file: PublishedFile | None = None) -> bool:
    return download(file or published(), folder / NAME, address=server.address, pause=0)


def refused(
    server: Server, folder: Path, kind: type[BenchError] = DataError, **options: Any
) -> str:
    with pytest.raises(kind) as caught:
        get(server, folder, **options)
    assert type(caught.value) is kind and caught.value.hint
    assert not (folder / NAME).exists()
    return caught.value.message


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_and_once(server: Server, tmp_path: Path) -> None:
    folder, seen = tmp_path / "new", list[tuple[int, int]]()
    file = published()
    assert download(
        file, folder / NAME, address=server.address, progress=lambda *done: seen.append(done)
    )
    assert (folder / NAME).read_bytes() == DATA and left(folder) == {NAME}
    assert seen[-1] == (len(DATA), len(DATA))
    assert not get(server, folder)
    assert server.asked == [None]


def test_a_connection_that_breaks_is_taken_up(server: Server, tmp_path: Path) -> None:
    server.stops = [100_000, 50_000]
    assert get(server, tmp_path)
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert (tmp_path / NAME).read_bytes() == DATA and left(tmp_path) == {NAME}


def test_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.stops = [70_000, 0, 0, 0]
    text = refused(server, tmp_path, BenchError)
    assert f"the connection ended after 70,000 of {len(DATA):,} bytes" in text
    assert left(tmp_path) == {f"{NAME}.part", f"{NAME}.part.json"}
    assert get(server, tmp_path)
    assert server.asked[-1] == "bytes=70000-" and left(tmp_path) == {NAME}


def test_a_whole_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    server.stops = [70_000, 0, 0, 0]
    refused(server, tmp_path, BenchError)
    (tmp_path / f"{NAME}.part").write_bytes(DATA)
    assert get(server, tmp_path) and len(server.asked) == 4


def test_a_file_that_changed_meanwhile_begins_anew(server: Server, tmp_path: Path) -> None:
    server.stops = [70_000, 0, 0, 0]
    refused(server, tmp_path, BenchError)
    server.data, server.tag = DATA[::-1], '"2"'
    assert get(server, tmp_path, published(DATA[::-1]))
    assert (tmp_path / NAME).read_bytes() == DATA[::-1]


def test_a_file_that_grew_meanwhile_is_another(server: Server, tmp_path: Path) -> None:
    server.stops = [70_000, 0, 0, 0]
    refused(server, tmp_path, BenchError)
    server.data, server.tag = DATA + b"more", '"2"'
    text = refused(server, tmp_path)
    assert f"is a file of {len(DATA) + 4:,} bytes, published are {len(DATA):,}" in text
    assert left(tmp_path) == set()


@pytest.mark.parametrize("tag", ["", 'W/"1"'])
def test_a_version_without_a_name_begins_anew(tag: str, server: Server, tmp_path: Path) -> None:
    server.tag, server.stops = tag, [100_000]
    assert get(server, tmp_path)
    assert server.asked == [None, None]


def test_another_part_than_the_missing_one(server: Server, tmp_path: Path) -> None:
    def other(handler: Handler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 5-{len(DATA) - 1}/{len(DATA)}")
        handler.end_headers()
        handler.wfile.write(DATA[5:])

    server.answers = [lambda handler: _stop_after(handler, 100_000), other]
    assert get(server, tmp_path)
    assert server.asked == [None, "bytes=100000-", None]
    assert (tmp_path / NAME).read_bytes() == DATA


def _stop_after(handler: Handler, count: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.send_header("ETag", '"1"')
    handler.end_headers()
    handler.wfile.write(DATA[:count])


def test_a_note_from_elsewhere_is_not_believed(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 5000)
    for note in ("{", "[]", json.dumps({"address": "https://other", "version": '"1"'}),
                 json.dumps({"address": server.address, "version": '"1"\r\nX: y'})):  # fmt: skip
        (tmp_path / f"{NAME}.part.json").write_text(note)
        assert get(server, tmp_path)
        assert server.asked[-1] is None
        (tmp_path / NAME).rename(tmp_path / f"{NAME}.part")


def test_a_link_in_place_of_the_part_is_not_followed(server: Server, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / f"{NAME}.part").symlink_to(victim)
    assert "cannot write" in refused(server, folder, BenchError)
    assert victim.read_bytes() == b"mine"


def test_a_wrong_hash(server: Server, tmp_path: Path) -> None:
    server.data = DATA[:-1] + b"x"
    text = refused(server, tmp_path)
    assert "is not the published file: its sha256 is" in text and published().sha256 in text
    assert left(tmp_path) == set()


def test_a_wrong_md5(server: Server, tmp_path: Path) -> None:
    file = published().model_copy(update={"md5": "0" * 32})
    assert "its md5 is" in refused(server, tmp_path, file=file)


def test_longer_than_published_without_saying_so(server: Server, tmp_path: Path) -> None:
    server.data, server.announces = DATA * 3, False
    assert f"longer than the {len(DATA):,} bytes" in refused(server, tmp_path)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_told(status: int, server: Server, tmp_path: Path) -> None:
    server.answers = [lambda handler: handler.refuse(status)]
    assert f"answered with status {status}" in refused(server, tmp_path, BenchError)
    assert len(server.asked) == 1


def test_a_busy_server_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.answers = [lambda handler: handler.refuse(503)] * 2
    assert get(server, tmp_path) and len(server.asked) == 3


@pytest.mark.parametrize(
    "elsewhere", ["http://example.org/x", "http://169.254.169.254/x", "ftp://example.org/x"]
)
def test_a_redirect_to_what_is_not_https(elsewhere: str, server: Server, tmp_path: Path) -> None:
    server.answers = [lambda handler: handler.lead_to(elsewhere)]
    assert f"leads to {elsewhere}, which is no https" in refused(server, tmp_path)


def test_a_redirect_to_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    server.answers = [lambda handler: handler.lead_to(f"file://{tmp_path}/secret")]
    assert "status 302" in refused(server, tmp_path, BenchError)


def test_a_redirect_on_this_machine_keeps_the_range(server: Server, tmp_path: Path) -> None:
    server.answers = [lambda handler: _stop_after(handler, 100_000),
                      lambda handler: handler.lead_to("/other")]  # fmt: skip
    assert get(server, tmp_path)
    assert server.asked == [None, "bytes=100000-", "bytes=100000-"]


def test_redirects_end(server: Server, tmp_path: Path) -> None:
    server.answers = [lambda handler: handler.lead_to(f"/{NAME}")] * 50
    refused(server, tmp_path, BenchError)
    assert len(server.asked) < 10


@pytest.mark.parametrize("address", ["http://example.org/x", "file:///etc/passwd", "x", "http://["])
def test_only_https_is_asked(address: str) -> None:
    with pytest.raises(UsageError, match="no https address"):
        opener_for(address)


def test_secrets_in_an_address_are_not_shown() -> None:
    assert shown_address("https://me:key@example.org:8/a/b?token=1") == "https://example.org:8/a/b"


def test_proxies_are_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.address)
    other = f"http://localhost:1/{NAME}"
    assert download(published(), tmp_path / NAME, address=other, pause=0)


def test_a_full_disk_is_told_before(server: Server, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 100))
    assert "free" in refused(server, tmp_path, BenchError)
    assert not server.asked


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_process_leaves_what_came(
    kind: signal.Signals, server: Server, tmp_path: Path
) -> None:
    released = Event()

    def halting(handler: Handler) -> None:
        _stop_after(handler, 100_000)
        handler.wfile.flush()
        released.wait(60)

    server.answers = [halting]
    code = (
        "import sys; from pathlib import Path\n"
        "from ofa_bench.data.discovery.datasets import PublishedFile\n"
        "from ofa_bench.data.discovery.fetch.download import download\n"
        "from ofa_bench.training.interrupts import listening\n"
        "file = PublishedFile.model_validate_json(sys.argv[1])\n"
        "with listening():\n"
        "    download(file, Path(sys.argv[2]), address=sys.argv[3],\n"
        "             progress=lambda done, of: done == 100_000 and print('now', flush=True))\n"
    )
    words = [published().model_dump_json(), str(tmp_path / NAME), server.address]
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as child:  # fmt: skip
        assert child.stdout is not None and child.stdout.readline() == "now\n"
        child.send_signal(kind)
        assert child.wait(30) != 0
    released.set()
    assert (tmp_path / f"{NAME}.part").stat().st_size == 100_000
    assert get(server, tmp_path)
    assert server.asked == [None, "bytes=100000-"] and left(tmp_path) == {NAME}


def cifar(monkeypatch: pytest.MonkeyPatch, reader: type[CIFAR10]) -> bytes:
    """An archive as the official one, whose files torchvision takes for it."""
    rng, files, hundred = np.random.default_rng(3), {}, reader is CIFAR100
    key, classes = ("fine_labels", 100) if hundred else ("labels", 10)
    for name, _ in [*reader.train_list, *reader.test_list]:
        labels = list(range(classes)) * 2
        pixels = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        files[name] = pickle.dumps({"data": pixels, key: labels})
    names = [f"class{number:02d}" for number in range(classes)]
    files[reader.meta["filename"]] = pickle.dumps({reader.meta["key"]: names})
    md5 = {name: hashlib.md5(raw).hexdigest() for name, raw in files.items()}
    for part in ("train_list", "test_list"):
        known = [[name, md5[name]] for name, _ in getattr(reader, part)]
        monkeypatch.setattr(reader, part, known)
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5[reader.meta["filename"]]})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, raw in files.items():
            member = tarfile.TarInfo(f"{reader.base_folder}/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return packed.getvalue()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_what_was_downloaded_is_read_at_once(
    name: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.data = cifar(monkeypatch, getattr(torchvision.datasets, name.upper()))
    spec = load_spec(name)
    assert spec.download is not None
    file = published(server.data).model_copy(update={"url": spec.download.url})
    spec = spec.model_copy(update={"download": file})
    monkeypatch.setattr(assemble, "spec_of", lambda *names: spec)
    words = ["data", "get", name, "--data-dir", str(tmp_path), "--json"]
    assert main([*words, "--mirror", server.address.rpartition("/")[0]]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["downloaded"] and Path(answer["file"]).name == file.name
    collection = read_collection(spec, locate(spec, tmp_path))
    count = 2 * len(collection.classes)
    assert len(collection.test) == count and len(collection.classes) == spec.classes
    assert len(collection.train) == count * (5 if name == "cifar10" else 1)


def test_published_hashes_are_torchvision_s() -> None:
    for name, reader in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        file = load_spec(name).download
        assert file is not None
        assert (file.url, file.md5, file.name) == (reader.url, reader.tgz_md5, reader.filename)


@pytest.mark.parametrize(
    ("name", "words"),
    [("imagenet", ("https://image-net.org", "data prepare imagenet --from")),
     ("imagenet100", ("data prepare imagenet100",)), ("digits", ("scikit-learn",))],
)  # fmt: skip
def test_what_may_not_be_downloaded_says_how_to_get_it(
    name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "get", name]) == 2
    text = capsys.readouterr().err
    assert all(word in text for word in words)
