"""What a run needs at its end is tried before its first step."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import safe_open

from ofa_bench import BenchError, api
from ofa_bench.data.discovery import decoder
from ofa_bench.errors import DataError
from ofa_bench.planning.forecast import Forecast
from ofa_bench.training.callbacks import Silent

TINY = ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")


class Watch(Silent):
    """Whether training began, and what was told."""

    def __init__(self) -> None:
        self.began = False
        self.notes: list[str] = []

    def begin(self, total_steps: int, done: int) -> None:
        self.began = True

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(results: Path, watch: Watch, **changes: Any) -> Any:
    """One epoch on the digits, or on `data_dir`."""
    asked = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 1, "set": TINY}
    if "data_dir" in changes:
        asked |= {"dataset": "folder", "workers": 0}
    return api.run_request(api.request(**{**asked, "results": results, **changes}), watch)


def tree(root: Path, names: tuple[str, ...] = ("1", "10", "2"), sizes: int = 1) -> Path:
    """Sixteen training and four test images a class, of one size or of several."""
    rng = random.Random(11)
    for split, count in (("train", 16), ("val", 4)):
        for name in names:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                side = 20 + number % sizes
                image = Image.frombytes("RGB", (side, side), rng.randbytes(3 * side * side))
                image.save(root / split / name / f"{number}.png")
    return root


def truncate(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[:-60])


@pytest.mark.parametrize("sizes", [1, 5], ids=["resident", "streamed"])
@pytest.mark.parametrize("split", ["select", "test"])
def test_a_truncated_held_out_image_stops_the_run_before_training(
    tmp_path: Path, sizes: int, split: str
) -> None:
    root = tree(tmp_path / "pictures", sizes=sizes)
    if split == "test":
        truncate(root / "val" / "10" / "2.png")
    else:  # one of these is held out
        truncate(*sorted((root / "train" / "10").iterdir())[:8])
    watch = Watch()
    with pytest.raises(DataError, match=r"10/\d+\.png cannot be decoded"):
        run(tmp_path / "results", watch, data_dir=root, set=(*TINY, "data.select=0.5"))
    assert not watch.began


def test_what_decoded_once_is_not_decoded_again_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "pictures", sizes=5)
    seen: list[Path] = []
    decoded = decoder.pixels_of
    monkeypatch.setattr(decoder, "pixels_of", lambda image: seen.append(root) or decoded(image))
    counts = []
    for seed in (0, 1):
        run(tmp_path / "results", Watch(), data_dir=root, seed=seed)
        counts.append(len(seen))
    assert counts[0] - (counts[1] - counts[0]) == 12 + 5  # ten percent of 48 is held out


def test_a_place_for_the_record_is_tried_before_training(tmp_path: Path) -> None:
    (tmp_path / "records" / "digits").mkdir(parents=True)
    (tmp_path / "records" / "digits" / "deps").write_text("in the way")
    watch = Watch()
    with pytest.raises(BenchError, match="records/digits/deps") as caught:
        run(tmp_path, watch)
    assert not watch.began and caught.value.hint


def test_room_for_the_record_is_asked_for_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    watch = Watch()
    with pytest.raises(BenchError, match="1 MB free") as caught:
        run(tmp_path, watch)
    assert not watch.began and "--results" in caught.value.hint
    assert not list(tmp_path.rglob("*.part"))


def test_records_and_weights_name_classes_and_decoder(tmp_path: Path) -> None:
    root = tree(tmp_path / "pictures")
    shutil.copy(root / "train" / "2" / "0.png", root / "val" / "2" / "copy.png")
    watch = Watch()
    record = run(tmp_path / "results", watch, data_dir=root)
    assert record.task.class_names == ("1", "10", "2")  # as text, which is what labels follow
    (weights,) = (tmp_path / "results" / "runs").glob("*/weights.safetensors")
    with safe_open(weights, "numpy") as file:
        assert json.loads(file.metadata()["classes"]) == ["1", "10", "2"]
    assert record.task.decoder.name == "pillow"
    shared = "test images that are training images too, byte by byte: 1 of 13"
    assert shared in record.task.notes and f"note: {shared}" in watch.notes


def test_embedded_images_need_no_decoder(tmp_path: Path) -> None:
    record = run(tmp_path, Watch())
    assert record.task.decoder is None
    assert record.task.class_names == tuple("0123456789")
    assert not any(part.startswith("decoder:") for part in record.identity.code)


def test_a_record_holds_the_rates_of_its_plan(tmp_path: Path) -> None:
    record = run(tmp_path, Watch())
    edges = Forecast(api.plan(method="deps", dataset="digits", space="toy", epochs=1)).document()
    held = zip(record.rates.lr, record.rates.shares, strict=True)
    rates = dict(zip(record.rates.steps, held, strict=True))
    for edge in edges["edges"]:
        lr, share = rates[edge["step"]]
        assert lr == edge["lr"]
        assert share is None or share == edge["share"]
    assert record.rates.shares[0] is None  # the largest net is alone at first
    assert record.rates.shares[-1] == 1.0


def test_rates_of_a_long_run_are_about_two_hundred() -> None:
    rates = Forecast(api.plan(method="deps", dataset="imagenet")).rates()
    assert 200 <= len(rates["steps"]) < 220


@pytest.mark.parametrize(
    ("version", "jpeg", "same"),
    [
        ("13.9.9", "libjpeg-turbo 4.0.0", True),
        ("14.0.0", "libjpeg-turbo 3.2.0", False),
        ("13.0.0", "libjpeg 9.6", False),
    ],
)
def test_another_decoder_is_another_row_and_track(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, jpeg: str, same: bool
) -> None:
    from ofa_bench.data.discovery import tree as listing
    from ofa_bench.records.track import track_of

    root, results = tree(tmp_path / "pictures"), tmp_path / "results"
    installed = decoder.Decoder("pillow", "13.0.0", "libjpeg-turbo 3.2.0")
    monkeypatch.setattr(listing, "decoder", lambda: installed)
    one = run(results, Watch(), data_dir=root)
    monkeypatch.setattr(listing, "decoder", lambda: decoder.Decoder("pillow", version, jpeg))
    other = run(results, Watch(), data_dir=root, seed=1)
    assert (one.row_id == other.row_id) is same
    assert (track_of(one) == track_of(other)) is same


def test_a_record_whose_decoder_is_not_the_hashed_one_does_not_hold(tmp_path: Path) -> None:
    from ofa_bench.records.json_text import spell
    from ofa_bench.records.schema import plain, sealed
    from ofa_bench.records.validation.validate import validate

    record = run(tmp_path / "results", Watch(), data_dir=tree(tmp_path / "pictures"))
    (path,) = (tmp_path / "results" / "records").rglob("*.json")
    assert not list(validate(path))
    forged = plain(record)
    forged["task"]["decoder"]["version"] = "12.0.0"  # onto another track
    forged["task"]["class_names"].append("11")
    path.write_text(spell(plain(sealed(forged))), encoding="utf-8")
    fields = {finding.field for finding in validate(path)}
    assert {"identity.code", "task.class_names"} <= fields


def test_prepared_pixels_keep_the_decoder_that_made_them(tmp_path: Path) -> None:
    from ofa_bench.data.discovery.datasets import load_spec
    from ofa_bench.data.readers.pixel_cache import prepare_cache

    root = tree(tmp_path / "pictures")
    prepare_cache(load_spec("folder"), root, tmp_path / "pixels", 256, lambda planned: True)
    one = run(tmp_path / "one", Watch(), data_dir=root)
    other = run(tmp_path / "other", Watch(), data_dir=tmp_path / "pixels")
    assert one.task.decoder == other.task.decoder is not None
    assert one.run_id == other.run_id and one.weights_sha256 == other.weights_sha256
