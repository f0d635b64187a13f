"""The store writes once, whole, inside its folder, beside others."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.records.schema import plain, sealed
from ofa_bench.records.store import Store, read, read_bits, slug
from tests.records.factory import failed, make


def test_a_record_comes_back_as_it_went_in(tmp_path: Path) -> None:
    record, bits = make("alpha", 3)
    path = Store(tmp_path).write(record, bits)
    assert path == tmp_path / "records" / "digits" / "alpha" / f"{record.run.id}.json"
    assert read(path) == record
    assert read_bits(path, record) == bits


def test_the_same_record_twice_is_one(tmp_path: Path) -> None:
    record, bits = make()
    store = Store(tmp_path)
    assert store.write(record, bits) == store.write(record, bits)
    assert len(store.list()) == 1


def test_a_record_is_never_overwritten(tmp_path: Path) -> None:
    record, bits = make()
    store = Store(tmp_path)
    path = store.write(record, bits)
    before = path.read_bytes()
    other = sealed({**plain(record), "seed": 9})
    with pytest.raises(BenchError, match="another record"):
        store.write(other, bits)
    assert path.read_bytes() == before


def test_bits_that_are_not_the_records_are_refused(tmp_path: Path) -> None:
    record, bits = make()
    with pytest.raises(BenchError, match=r"bits\.sha256"):
        Store(tmp_path).write(record, bits[:-1] + b"\0")
    with pytest.raises(BenchError, match="go together"):
        Store(tmp_path).write(record)
    assert Store(tmp_path).list() == []


def _write(folder: Path, seed: int) -> None:
    for method in ("alpha", "beta"):
        Store(folder).write(*make(method, seed))


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, seed)) for seed in (0, 0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(Store(tmp_path).list()) == 4
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["../../etc/x", "..", "/abs", "a/b", "\x1b[31mred", "", "C:\\x"])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    record, bits = make()
    changed = plain(record)
    changed["task"]["dataset"] = changed["method"]["name"] = name
    path = Store(tmp_path).write(sealed(changed), bits)
    assert path.resolve().is_relative_to(tmp_path.resolve() / "records")
    assert len(path.relative_to(tmp_path).parts) == 4
    assert Store(tmp_path).list()[0].record.method.name == name


def test_slugs_keep_compositions_readable() -> None:
    assert slug("sandwich+cosine+labels") == "sandwich+cosine+labels"
    assert slug("My Data!") == "my-data-"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"seed": NaN}', "NaN is not a JSON number"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[]", "the record"),
        (b"{}", "run: Field required"),
    ],
)
def test_garbage_is_a_sentence_that_names_file_and_field(
    tmp_path: Path, text: bytes, says: str
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=says) as caught:
        read(path)
    assert str(path) in caught.value.message


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    record, bits = make()
    path = Store(tmp_path).write(record, bits)
    body = json.loads(path.read_text())
    body["cost"]["phases"][1]["steps"] = "many"
    path.write_text(json.dumps(body))
    with pytest.raises(UsageError, match=r"cost\.phases\.1\.steps"):
        read(path)


def test_large_and_absent_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFA_BENCH_LIMITS", "record-bytes=1000")
    path = tmp_path / "x.json"
    path.write_bytes(b" " * 2000)
    with pytest.raises(UsageError, match="over 1,000 bytes"):
        read(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "none.json")


def test_filters(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method, seed in (("alpha", 0), ("alpha", 1), ("beta", 0)):
        store.write(*make(method, seed))
    store.write(failed("beta", 2))
    assert len(store.list()) == 4
    assert len(store.list(["method=alpha"])) == 2
    assert len(store.list(["method=alpha", "seed=1"])) == 1
    assert len(store.list(["status=diverged"])) == 1
    assert len(store.list(["science.optim.lr=0.1", "dataset=digits"])) == 4
    assert store.list(["science.optim.rate=0.1"]) == []
    with pytest.raises(UsageError, match="not a filter"):
        store.list(["method"])


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record, bits = make("alpha", 0)
    path = store.write(record, bits)
    store.write(*make("alpha", 1))
    assert store.find(record.run.id).record == record
    assert store.find(record.run_id[:12]).record == record
    assert store.find(str(path)).record == record
    with pytest.raises(UsageError, match="several runs"):
        store.find("alpha-")
    with pytest.raises(UsageError, match="no record of a run"):
        store.find("gamma")


def test_one_broken_file_need_not_hide_the_rest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(*make("alpha", 0))
    path.with_name("broken.json").write_text("{")
    with pytest.raises(UsageError, match=r"broken\.json"):
        store.list()
    errors: list[UsageError] = []
    assert len(store.list(broken=errors.append)) == 1
    assert len(errors) == 1
