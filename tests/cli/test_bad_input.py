"""A user's mistake gets a sentence on what is wrong and where, and a fix; never a traceback."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from .conftest import Bench, Done

QUICK = ["--space", "toy", "--epochs", "0.2", "--set", "evaluate.per_bucket=1"]
SMALL = ["--set", "optim.batch=16", "--set", "optim.norm_batch=8", "--workers", "0"]

# words of the command, its exit code, what the message must name
WORDS = [
    ("run --method dep", 2, ["'dep'", "did you mean deps?"]),
    ("run --dataset cifar", 2, ["'cifar'", "cifar10"]),
    ("run --space laptop", 2, ["'laptop'", "laptop-8"]),
    ("run --shrink delay", 2, ["'delay'", "delayed"]),
    ("run --distill inplac", 2, ["inplace"]),
    ("run --with metre", 2, ["'metre'", "meter"]),
    ("frobnicate", 2, ["'frobnicate'", "There are: run"]),
    ("run --methd deps", 2, ["--methd", "--method"]),
    ("run --set optim.lrr=1", 2, ["optim.lrr", "did you mean lr?"]),
    ("run --set optim.lr", 2, ["PATH=VALUE", "optim.lr=0.05"]),
    ("run --set optim.lr=abc", 2, ["--set optim.lr", "'abc'"]),
    ("run --set optim.lr=nan", 2, ["optim.lr", "finite"]),
    ("run --set optim.lr=-1", 2, ["optim.lr", "-1"]),
    ("plan --set optim.lr=0", 2, ["optim.lr", "greater than 0"]),
    ("run --set optim.lr=1e999", 2, ["optim.lr", "finite"]),
    ("run --set optim=3", 2, ["optim"]),
    ("run --set space=toy", 2, ["space", "--space NAME"]),
    ("run --set extras=meter", 2, ["extras", "--with NAME"]),
    (f"run --checkpoint-every {'9' * 400}steps", 2, ["--checkpoint-every", "500steps"]),
    ("run --set shrink.start=2", 2, ["shrink.delayed.start", '"2 epochs"']),
    ("run --set shrink.start=nan", 2, ["shrink.delayed.start"]),
    ("run --set data.select=99999", 2, ["99999", "1437"]),
    ("run --set evaluate.per_bucket=0", 2, ["evaluate.per_bucket"]),
    ("run --set optim.batch=99", 2, ["norm_batch 32", "99"]),
    ("run --set augment.kind=foo", 2, ["'foo'", "resized-crop"]),
    ("run --epochs nan", 2, ["--epochs", "finite"]),
    ("run --epochs -1", 2, ["--epochs", "positive"]),
    ("run --epochs 1e-9", 2, ["too short", "--epochs"]),
    ("run --scale 0", 2, ["--scale"]),
    ("run --seed -1", 2, ["--seed"]),
    ("run --seed 99999999999999999999", 2, ["out of range", "0 to 2147483647"]),
    ("run --precision fp8", 2, ["'fp8'", "bf16"]),
    ("run --device tpu", 2, ["'tpu'", "cuda:N"]),
    ("run --device cuda:99", 2, ["cuda:99", "CUDA devices"]),
    ("run --budget matched", 2, ["--budget matched", "--epochs N"]),
    ("run --budget matched --epochs 1 --scale 2", 2, ["--scale", "--epochs"]),
    ("run --teacher .", 2, ["'inplace'", "--distill frozen"]),
    ("run --method ofa --teacher absent", 2, ["'absent'"]),
    ("run --set optim.lr={}", 2, ["--set", "optim.lr", "number"]),
    ("run --method bignas --set shrink.sampled={a={}}", 2, ["--set", "shrink.sampled", "integer"]),
    ("run --init absent.pt", 2, ["absent.pt", "weights file"]),
    ("run --plugin absent.py", 2, ["absent.py", ".py file"]),
    ("run --recipe absent.toml", 2, ["absent.toml", "there is no such file"]),
    ("compare --seeds 0", 2, ["--seeds", "'0'"]),
    ("compare --seeds 1,1", 2, ["'1,1'"]),
    ("compare --methods deps,foo", 2, ["'foo'"]),
    ("compare --methods deps,deps", 2, ["'deps,deps'"]),
    ("ablate nothing", 2, ["'nothing'"]),
    ("plan --steps 99999", 2, ["99999", "0 to 189"]),
    ("resume nothing", 2, ["'nothing'"]),
    ("show nothing", 2, ["'nothing'", "ofa-bench runs"]),
    ("show --card x", 2, ["'x'", "bignas-port"]),
    ("runs --filter x", 2, ["'x'", "key=value"]),
    ("evaluate nothing --subnet largest", 2, ["'nothing'"]),
    ("board nothing", 2, ["'nothing'"]),
    ("board --buckets --check", 2, ["--buckets", "--check"]),
    ("board --buckets --cost latency --table t.toml", 2, ["--buckets", "over MACs"]),
    ("board --claims nothing", 2, ["'nothing'", "deps"]),
    ("reproduce nothing", 2, ["'nothing'"]),
    ("report -o x.html", 2, ["no records", "ofa-bench run"]),
    ("records import nothing", 2, ["nothing", "records export"]),
    ("records export x.zip", 2, ["no record"]),
    ("data check nothing", 2, ["'nothing'", "cifar100"]),
    ("data check cifar10 --data-dir nowhere", 2, ["nowhere", "--data-dir"]),
    ("list nothing", 2, ["'nothing'", "datasets"]),
    ("plugin new ../x", 2, ["'../x'", "my-idea"]),
    ("plugin new deps", 2, ["'deps'", "choose another"]),
    ("plugin check nothing", 2, ["'nothing'"]),
    ("space macs toy --subnet k9e9d9", 2, ["depth 9", "stage 1", "choices: 1, 2"]),
    ("space macs toy --subnet {", 2, ["JSON", "character 1"]),
    ('space macs toy --subnet {"dpth":[1,1]}', 2, ["'dpth'", "depth"]),
    ("space macs toy --subnet largest --classes 0", 2, ["--classes"]),
]


def told(done: Done, code: int, words: list[str]) -> None:
    """The exit code, and a message that names these and is no traceback."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert "this is a bug" not in done.err
    for word in words:
        assert word in done.err, done.err


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, one thread."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "code", "words"), WORDS, ids=[line for line, *_ in WORDS])
def test_words(line: str, code: int, words: list[str], bench: Bench) -> None:
    told(bench(*line.split()), code, words)


TEXTS = [
    ("run --recipe", "[optim\nlr=1", ["it.toml", "line 1"]),
    ("run --recipe", "[optim]\nlr=1\nlr=2", ["it.toml", "not valid TOML"]),
    ("run --recipe", b"\xff\xfe\x00", ["it.toml", "UTF-8"]),
    ("run --recipe", '[optim]\nlr="x"', ["it.toml", "optim.lr", "'x'"]),
    ("run --recipe", "[optim]\nlr=nan", ["it.toml", "optim.lr", "finite"]),
    ("run --recipe", "[nonsense]\na=1", ["it.toml", "nonsense", "the keys are"]),
    ("run --recipe", "[lr.ramped]\nrampp=1", ["it.toml", "rampp", "did you mean ramp?"]),
    ("run --recipe", "[shrink.delayed]\nstart='abc'", ["it.toml", "'abc'", "145/270"]),
    ("compare", "methds=['deps']", ["it.toml", "methds", "did you mean methods?"]),
    ("compare", "rows=3", ["it.toml", "[[rows]]"]),
    ("compare", "[[rows]]\nmethod='deps'\nfoo=1", ["it.toml", "foo"]),
    ("compare", "methods=['deps']\n[[rows]]\nmethod='ofa'", ["it.toml", "exclude"]),
    ("compare", "seeds=-1", ["--seeds", "-1"]),
    ("compare", "curve=inf", ["it.toml", "curve", "inf", "neither true nor false"]),
    ("compare", "workers=1.5", ["--workers", "1.5"]),
    ("compare", "plugin=3", ["it.toml", "plugin", "3"]),
    ("compare", "init=1979-05-27", ["it.toml", "init", "no number or name"]),
    ("compare", "[[rows]]\nmethod=[1,[2]]", ["it.toml", "method", "[2]"]),
    ("space show", "name='x'", ["it.toml", "name", "known keys"]),
    ("space show", "base='nothing'", ["it.toml", "'nothing'"]),
    ("space show", "base='it'", ["it.toml", "itself"]),
    ("space show", "base='toy'\nwidth_mult=-1", ["it.toml", "width_mult", "-1"]),
    ("space show", "base='toy'\nresolution=[0]", ["it.toml", "resolution"]),
]


@pytest.mark.parametrize(("line", "text", "words"), TEXTS)
def test_files_of_the_user(line: str, text: str | bytes, words: list[str], bench: Bench) -> None:
    Path("it.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    told(bench(*line.split(), "it.toml"), 2, words)


PLUGINS = [
    ("import nonexistent_thing", 2, ["it.py", "nonexistent_thing"]),
    ("raise SystemExit(3)", 2, ["it.py", "SystemExit"]),
    ("x = (", 2, ["it.py", "never closed"]),
    ("pass", 1, ["it.py", "register"]),
]


@pytest.mark.parametrize(("text", "code", "words"), PLUGINS)
def test_plugins_that_do_not_load(text: str, code: int, words: list[str], bench: Bench) -> None:
    Path("it.py").write_text(text)
    told(bench("run", "--plugin", "it.py", *QUICK), code, words)


class Harm:
    """Makes a file when unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (os.mkdir, ("harm",))


def cut(path: Path) -> None:
    torch.save({"a": torch.zeros(9)}, path)
    path.write_bytes(path.read_bytes()[:200])


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "pickle.pt": (lambda p: p.write_bytes(pickle.dumps(Harm())), ["not executed"]),
    "code.pt": (lambda p: torch.save({"a": Harm()}, p), ["not executed"]),
    "cut.pt": (cut, ["truncated"]),
    "text.pt": (lambda p: p.write_text("hello"), ["not a checkpoint"]),
    "other.pt": (lambda p: torch.save({"a": torch.zeros(2)}, p), ["missing", "surplus a"]),
    "huge.safetensors": (lambda p: p.write_bytes(struct.pack("<Q", 2**60)), ["too large"]),
    "empty.safetensors": (lambda p: p.write_bytes(b""), ["is empty"]),
    "other.safetensors": (lambda p: save_file({"w": torch.zeros(3)}, p), ["missing", "surplus w"]),
    "folder.pt": (lambda p: p.mkdir(), ["no weights"]),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_foreign_checkpoints(name: str, bench: Bench) -> None:
    make, words = CHECKPOINTS[name]
    make(Path(name))
    told(bench("run", "--init", name, *QUICK), 2, ["" if "missing" in words else name, *words])
    assert not Path("harm").exists()


def image(path: Path, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number = sum(map(ord, str(path)))
    colours = [(number * k % 251, k % 256, number % 256) for k in range(20 * 24)]
    picture = Image.new("RGB", (20, 24))
    picture.putdata(colours)
    picture.convert(mode).save(path)


@pytest.fixture
def tree(here: Path) -> Path:
    """Two classes of images."""
    for split, count in (("train", 40), ("val", 6)):
        for name in "ab":
            for number in range(count):
                image(here / "tree" / split / name / f"{number}.png")
    return here / "tree"


def on(tree: Path) -> list[str]:
    return ["run", "--dataset", "folder", "--data-dir", str(tree), *QUICK, "--epochs", "1", *SMALL]


MISHAPS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "text": (lambda t: (t / "train/a/x.jpg").write_text("hi"), ["train/a/x.jpg", "data check"]),
    "no images": (
        lambda t: [(t / split / "c").mkdir() for split in ("train", "val")],
        ["train/c", "no images"],
    ),
    "no val": (lambda t: shutil.rmtree(t / "val"), ["neither val/ nor test/"]),
    "no train": (lambda t: shutil.rmtree(t / "train"), ["looked in", "train/"]),
    "half": (lambda t: shutil.rmtree(t / "val/b"), ["tree/val", "one class folder, a"]),
    "new": (lambda t: image(t / "train/c/0.png"), ["class c", "half-extracted"]),
    "other": (lambda t: (t / "val/b").rename(t / "val/z"), ["class b"]),
}


@pytest.mark.parametrize("name", MISHAPS)
def test_damaged_folders(name: str, tree: Path, bench: Bench) -> None:
    make, words = MISHAPS[name]
    make(tree)
    told(bench(*on(tree)), 2, words)


def test_another_data_set_is_not_taken_for_one(tree: Path, bench: Bench) -> None:
    for name, count in (("cifar10", "10"), ("imagenet100", "100")):
        words = ["2 class folders", count, "--dataset folder"]
        told(bench("run", "--dataset", name, "--data-dir", tree, *QUICK), 2, words)


def test_data_check_finds_every_broken_image(tree: Path, bench: Bench) -> None:
    whole = (tree / "train/a/0.png").read_bytes()
    (tree / "train/a/0.png").write_bytes(whole[: len(whole) // 2])
    (tree / "val/b/1.png").write_bytes(b"")
    (tree / "train/b/x.jpg").write_text("hi")
    done = bench("data", "check", "folder", "--data-dir", tree)
    assert done.code == 1
    for path in ("train/a/0.png", "val/b/1.png", "train/b/x.jpg"):
        assert f"broken: {path}" in done.out


def test_images_of_every_kind_train(tree: Path, bench: Bench, here: Path) -> None:
    for mode, name in (("P", "p.gif"), ("CMYK", "c.jpg"), ("RGBA", "r.png"), ("1", "one.png")):
        image(tree / "train/a" / name, mode)
    Image.new("I;16", (5, 9), 40_000).save(tree / "train/a/deep.png")
    Image.new("L", (1, 1)).save(tree / "train/a/dot.png")
    Image.new("RGB", (300, 2)).save(tree / "train/b/wide.jpg")
    (tree / "train/notes.txt").write_text("not an image, and no class")
    done = bench(*on(tree), "--results", here / "results")
    assert done.code == 0, done.err


def test_pickled_code_in_a_data_set_is_not_run(here: Path, bench: Bench) -> None:
    folder = here / "half/cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(pickle.dumps(Harm()))
    words = ["cifar-10-batches-py", "half-extracted"]
    told(bench("run", "--dataset", "cifar10", "--data-dir", here / "half", *QUICK), 2, words)
    assert not Path("harm").exists()


def test_results_that_cannot_be_written(here: Path, bench: Bench) -> None:
    (here / "file").write_text("")
    told(bench("run", *QUICK, "--results", here / "file"), 1, ["file", "--results"])


def test_junk_among_the_records(here: Path, bench: Bench) -> None:
    folder = here / "results/records/digits/deps"
    folder.mkdir(parents=True)
    for name, raw in (("a", b'{"a": 1}'), ("b", b"\x00\xff" * 99), ("c", b"[" * 99_999)):
        (folder / f"{name}.json").write_bytes(raw)
    for line in ("board", "runs"):
        done = bench(line, "--results", here / "results")
        assert done.code == 0, done
        assert all(name in done.out + done.err for name in ("a.json", "b.json", "c.json"))
        assert "Traceback" not in done.out + done.err
    told(bench("show", "a", "--results", here / "results"), 2, ["no record"])
    assert bench("validate", here / "results/records").code == 1


def test_variables_with_nonsense(here: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("OFA_BENCH_DATA", str(here / "file"))
    told(bench("run", "--dataset", "cifar10", *QUICK), 2, ["OFA_BENCH_DATA", "--data-dir"])
    monkeypatch.setenv("WORLD_SIZE", "many")
    told(bench("run", "--results", here / "results", *QUICK), 2, ["WORLD_SIZE", "many", "torchrun"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    told(bench("run", "--results", here / "results", *QUICK), 2, ["WORLD_SIZE", "torchrun"])


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("ofa-bench", f"{sys.executable} -m ofa_bench")
    return subprocess.run(
        ["bash", "-c", line],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "line",
    [
        "ofa-bench list spaces | head -1",
        "COLUMNS=1 ofa-bench list methods",
        "LC_ALL=C PYTHONUTF8=0 ofa-bench plan",
        "ofa-bench list methods <&- >&- 2>&-",
    ],
)
def test_odd_surroundings(line: str) -> None:
    done = shell(line)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


def test_a_plugin_that_is_named_but_not_there() -> None:
    done = shell("ofa-bench run", OFA_BENCH_PLUGINS="basics,nonsense")
    assert done.returncode == 2
    assert "OFA_BENCH_PLUGINS" in done.stderr
    done = shell("ofa-bench list plugins", OFA_BENCH_PLUGINS="basics,nonsense")
    assert "nonsense" in done.stdout


def test_a_full_disk_behind_stdout() -> None:
    done = shell("ofa-bench plan > /dev/full")
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert "bug" not in done.stderr


def test_zero_workers_are_an_answer(bench: Bench, here: Path) -> None:
    done = bench("run", *QUICK, "--workers", "0", "--results", here / "results", "--json")
    assert done.json["execution"]["workers"] == 0
