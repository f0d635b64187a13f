"""Archives from strangers: what they hold is read whole, or refused by name, within bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import multiprocessing
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.discovery.tree import list_tree
from ofa_bench.errors import BenchError, DataError

SPEC = load_spec("folder")
IMAGES = [f"{part}/{name}/{n}.png" for part in ("train", "val") for name in "ab" for n in range(3)]
LOOK = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import locate
from ofa_bench.errors import DataError
try:
    locate(load_spec("folder"), Path(sys.argv[1]))
except DataError as error:
    print(error.message, error.hint, sep="\\n")
"""


def packed(entries: dict[str, bytes | tarfile.TarInfo], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of files, and of members of other kinds."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for name, content in entries.items():
            if isinstance(content, bytes):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                archive.addfile(content)
    return raw.getvalue()


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files() -> dict[str, bytes | tarfile.TarInfo]:
    return {name: name.encode() for name in IMAGES}


def header(name: bytes, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name.decode())
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def put(folder: Path, raw: bytes, name: str = "images.tar") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(raw)
    return folder


def names(folder: Path) -> set[str]:
    root = locate(SPEC, folder).root
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def refused(folder: Path) -> str:
    """What is said of a folder that is refused."""
    with pytest.raises(DataError) as caught:
        locate(SPEC, folder)
    left_nothing(folder)
    return f"{caught.value.message}\n{caught.value.hint}"


def refused_apart(folder: Path) -> str:
    """The same in a process of its own with 1 GiB of memory."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout, done.stderr[-2000:]
    assert time.monotonic() - began < 30
    left_nothing(folder)
    return done.stdout


def left_nothing(folder: Path) -> None:
    assert not list(folder.glob(".ofa-bench/unpacked-*")), "something was taken for the data"
    assert not list(folder.glob(".ofa-bench/.unpacking-*")), "something was left behind"


def chains(elsewhere: Path) -> bytes:
    """The layout of CVE-2025-4517: links whose resolution ends early, behind which one escapes."""
    entries = files()
    steps, folder, path = "abcdefghijklmnop", "d" * 247, ""
    for step in steps:
        entries[f"{path}{folder}"] = member(f"{path}{folder}", tarfile.DIRTYPE)
        entries[f"{path}{step}"] = member(f"{path}{step}", tarfile.SYMTYPE, folder)
        path += f"{folder}/"
    link = f"{'/'.join(steps)}/{'l' * 254}"
    entries[link] = member(link, tarfile.SYMTYPE, "../" * len(steps))
    up = f"{link}/{'../' * 12}{str(elsewhere.parent)[1:]}"
    entries["escape"] = member("escape", tarfile.SYMTYPE, up)
    entries["same"] = member("same", tarfile.LNKTYPE, f"escape/{elsewhere.name}")
    return unended(packed(entries)) + packed({"same": b"overwritten"})


def unended(raw: bytes) -> bytes:
    """A tar whose last member is a link or a short file, without its end."""
    raw = raw.rstrip(b"\0")
    return raw.ljust(-(-len(raw) // 512) * 512, b"\0")


def test_no_file_elsewhere_is_written(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    folder = put(tmp_path / "data", chains(elsewhere))
    done = subprocess.run([sys.executable, "-c", LOOK, str(folder)], capture_output=True, text=True)
    assert elsewhere.read_bytes() == b"theirs"
    text = done.stdout
    assert "symbolic link" in text and "images.tar" in text


@pytest.mark.parametrize(
    ("kind", "target", "words"),
    [
        (tarfile.SYMTYPE, "0.png", "symbolic link"),
        (tarfile.SYMTYPE, "/etc/passwd", "symbolic link"),
        (tarfile.LNKTYPE, "train/a/0.png", "hard link"),
        (tarfile.LNKTYPE, "nowhere", "hard link"),
        (tarfile.FIFOTYPE, "", "pipe"),
        (tarfile.CHRTYPE, "", "device"),
        (tarfile.BLKTYPE, "", "device"),
        (tarfile.GNUTYPE_SPARSE, "", "sparse"),
        (b"V", "", "neither a file nor a folder"),
    ],
)
def test_files_and_folders_only(tmp_path: Path, kind: bytes, target: str, words: str) -> None:
    entries = {**files(), "odd": member("train/a/odd.png", kind, target)}
    text = refused(put(tmp_path / "data", packed(entries)))
    assert words in text and "train/a/odd.png" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../out.png", "leads upwards"),
        ("train/a/../../../out.png", "leads upwards"),
        ("/out.png", "is absolute"),
        ("train\\a\\out.png", "every system"),
        (f"train/{'n' * 256}.png", "too long"),
        ("d/" * 200 + "out.png", "200|201"),
        ("d/" * 2500 + "out.png", "too long"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_are_plain(tmp_path: Path, name: str, words: str, form: int) -> None:
    text = refused(put(tmp_path / "data", packed({**files(), name: b"out"}, form)))
    assert re.search(words, text), text
    assert not list(tmp_path.rglob("out.png"))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_honest_archives_are_read_whole(
    tmp_path: Path, form: int, pack: Callable[[bytes], bytes]
) -> None:
    long = f"train/a/{'x' * 90}/{'y' * 90}.png"
    entries = {"./train": member("./train", tarfile.DIRTYPE), **files(), f"./{long}": b"long"}
    folder = put(tmp_path / "data", pack(packed(entries, form)))
    assert names(folder) == {*IMAGES, long}
    root = locate(SPEC, folder).root
    assert all((root / name).read_bytes() == name.encode() for name in IMAGES)


def test_names_beyond_ascii_and_large_members_are_read(tmp_path: Path) -> None:
    large = os.urandom(1_000_001)
    folder = put(tmp_path / "data", packed({**files(), "train/ä/größe.png": large}))
    root = locate(SPEC, folder).root
    assert (root / "train/ä/größe.png").read_bytes() == large


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_archive_cut_at_a_members_end_is_named(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    raw = packed(files())
    cut = raw[: 8 * 1024]  # eight members of a header and a block each
    text = refused(put(tmp_path / "data", pack(cut)))
    assert "images.tar" in text and "cut short" in text


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_cut_anywhere_is_named(
    tmp_path: Path, share: float, pack: Callable[[bytes], bytes]
) -> None:
    entries = {**files(), "train/a/noise.png": os.urandom(100_000)}
    raw = pack(packed(entries).rstrip(b"\0") + b"\0" * 1024)
    with pytest.raises(DataError, match=r"images\.tar cannot be unpacked"):
        locate(SPEC, put(tmp_path / "data", raw[: int(len(raw) * share)]))


def damaged() -> dict[str, bytes]:
    raw = packed(files())
    squeezed = lzma.compress(raw)
    flipped = bytearray(lzma.compress(packed({**files(), "noise": os.urandom(300_000)})))
    flipped[len(flipped) // 2] ^= 255
    deep = lzma.compress(raw, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    loop = header(b"././@LongLink", tarfile.GNUTYPE_LONGNAME, 2) + b"x\0".ljust(512, b"\0")
    nonsense = header(b"x", tarfile.XHDTYPE, 512) + b"99999 path=".ljust(512, b"x")
    huge = header(b"x", tarfile.REGTYPE, 1 << 60)
    negative = bytearray(header(b"x", tarfile.REGTYPE, 0))
    negative[124:136] = b"\xff" * 11 + b"\0"
    negative[148:156] = b"%06o\0 " % (sum(negative[:148]) + sum(negative[156:]) + 256)
    return {
        "xz bit": bytes(flipped),
        "xz header": squeezed[:6] + b"\xff" * 100,
        "xz memory": deep,
        "gzip garbage": gzip.compress(raw) + b"garbage",
        "gzip no tar": gzip.compress(b"hello" * 1000),
        "gzip header": b"\x1f\x8b",
        "two joined": raw + packed({"train/a/more.png": b"more"}),
        "zeros inside": raw[:2048] + bytes(512) + raw[2048:],
        "long names": loop * 50_000,
        "pax nonsense": nonsense,
        "huge": huge,
        "negative": bytes(negative),
        "text": b"no archive at all" * 100,
        "empty": b"",
        "twice": unended(raw) + packed({"train/a/0.png": b"other"}),
        "file and folder": packed({**files(), "train/a/0.png/x.png": b"x"}),
    }


@pytest.mark.parametrize("case", sorted(damaged()))
def test_a_damaged_archive_is_named(tmp_path: Path, case: str) -> None:
    apart = refused_apart if case in ("long names", "xz memory", "huge") else refused
    text = apart(put(tmp_path / "data", damaged()[case]))
    assert "images.tar" in text, text


def test_a_member_that_comes_twice_alike_is_one(tmp_path: Path) -> None:
    raw = unended(packed(files())) + packed(files())
    assert names(put(tmp_path / "data", raw)) == set(IMAGES)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_three_gib_is_not_read(tmp_path: Path, kind: bytes) -> None:
    folder = put(tmp_path / "data", header(b"x", kind, 3 << 30))
    os.truncate(folder / "images.tar", 3 << 30)  # a sparse file
    assert "--limit archive-header=" in refused_apart(folder)


def test_an_archive_that_grows_a_hundredfold_is_refused(tmp_path: Path) -> None:
    raw = unended(packed(files()))
    folder = put(tmp_path / "data", b"", "images.tar.gz")
    with gzip.open(folder / "images.tar.gz", "wb", compresslevel=1) as file:
        file.write(raw)
        for number in range(8):
            file.write(header(b"train/a/bomb%d.png" % number, tarfile.REGTYPE, 32 << 20))
            file.write(bytes(32 << 20))
        file.write(bytes(1024))
    assert "--limit archive-ratio=" in refused_apart(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("archive-bytes", 5000), ("archive-members", 5), ("archive-depth", 2)]
)
def test_a_limit_is_named_and_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    folder = put(tmp_path / "data", packed(files()))
    monkeypatch.setenv("OFA_BENCH_LIMITS", f"{name}={value}")
    with pytest.raises(DataError) as caught:
        locate(SPEC, folder)
    assert f"--limit {name}=" in caught.value.hint
    monkeypatch.setenv("OFA_BENCH_LIMITS", f"{name}=1e9")
    assert names(folder) == set(IMAGES)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "images.tar")
    assert "images.tar is no regular file" in refused_apart(tmp_path / "data")
    (tmp_path / "data" / "images.tar").unlink()
    (tmp_path / "data" / "images.tar").symlink_to("/dev/zero")
    assert "images.tar is no regular file" in refused_apart(tmp_path / "data")


def test_a_link_to_an_archive_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "disk", packed(files()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images.tar").symlink_to(tmp_path / "disk" / "images.tar")
    assert names(tmp_path / "data") == set(IMAGES)


@pytest.mark.parametrize("name", ["images.zip", "images.tar.zst", "images.7z"])
def test_another_kind_of_archive_is_named(tmp_path: Path, name: str) -> None:
    text = refused(put(tmp_path / "data", b"PK\3\4", name))
    assert name in text and "unpack" in text


def test_a_link_in_place_of_our_folder_is_not_followed(tmp_path: Path) -> None:
    folder, elsewhere = put(tmp_path / "data", packed(files())), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / ".ofa-bench").symlink_to(elsewhere)
    with pytest.raises(BenchError, match=r"\.ofa-bench is a link"):
        locate(SPEC, folder)
    assert not list(elsewhere.iterdir())


def _locate(folder: Path) -> int:
    return len(list_tree(locate(SPEC, folder).root, SPEC).train.files)


def test_processes_that_unpack_at_once_find_the_same(tmp_path: Path) -> None:
    many = {f"{part}/{c}/{n}.png": b"x" * 3000 for part in ("train", "val") for c in "ab"
            for n in range(200)}  # fmt: skip
    folder = put(tmp_path / "data", packed(dict(many)))
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(_locate, [folder] * 4) == [400] * 4
    assert len(list(folder.glob(".ofa-bench/unpacked-*"))) == 1
