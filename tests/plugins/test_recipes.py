"""The shipped recipes against benchmark rules: one base per data set, published numbers at size."""

from __future__ import annotations

import pytest

from ofa_bench.recipe.layers import Layers, recipe_files
from ofa_bench.recipe.models import Science
from ofa_bench.spec_files import load_toml, specs_root

CHOICE = {"name": "any"}
HEAD = {"method": "any", "shrink": CHOICE, "lr": CHOICE, "distill": CHOICE}
FOLDERS = sorted(path.name for path in (specs_root() / "recipes").iterdir() if path.is_dir())


def science(dataset: str, space: str = "any", method: str = "any") -> Science:
    layers = Layers()
    for path, values in recipe_files([specs_root()], dataset, space, method):
        layers.lay(values, str(path))
    tables = {name: table for name, table in layers.tree.items() if name not in HEAD}
    return Science(dataset=dataset, space=space, **HEAD, **tables)


ROWS = [
    # folder, batch, norm batch, rate, decay, dropout, init, select, DεpS epochs, published, bucket
    ("digits", 64, 32, 0.1, 5e-4, 0, "fan_in", 240, 10, 270, 8),
    ("cifar10@laptop-32", 128, 64, 0.15, 5e-4, 0, "fan_in", 5000, 8, 200, 8),
    ("cifar100@laptop-32", 128, 64, 0.15, 5e-4, 0, "fan_in", 5000, 8, 200, 8),
    ("cifar10@laptop-32-proxyless", 128, 64, 0.15, 5e-4, 0, "fan_in", 5000, 8, 200, 8),
    ("cifar10", 256, 128, 0.1, 3e-5, 0.1, "torch", 5000, 200, 200, 16),
    ("cifar100", 256, 128, 0.1, 3e-5, 0.1, "torch", 5000, 200, 200, 16),
    ("imagenet100", 512, 64, 0.572, 3e-5, 0.1, "torch", 5000, 180, 180, 16),
    ("folder", 512, 64, 0.572, 3e-5, 0.1, "torch", 0.1, 180, 270, 16),
    ("imagenet", 2048, 128, 2.6, 3e-5, 0.1, "torch", 10000, 270, 270, 16),
    ("imagenet@proxylessnas", 1024, 64, 0.2, 5e-5, 0, "torch", 10000, 305, 305, 16),
    ("imagenet100@proxylessnas", 512, 64, 0.1, 5e-5, 0, "torch", 5000, 180, 180, 16),
    ("folder@proxylessnas", 512, 64, 0.1, 5e-5, 0, "torch", 0.1, 180, 270, 16),
]


def test_every_folder_has_a_row():
    assert {row[0] for row in ROWS} == set(FOLDERS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_base(row):
    folder, batch, norm, rate, decay, dropout, init, select, epochs, published, bucket = row
    found = science(*folder.split("@"))
    assert (found.optim.batch, found.optim.norm_batch) == (batch, norm)
    assert found.optim.base_lr == pytest.approx(rate)
    assert found.optim.weight_decay == decay
    assert (found.optim.name, found.optim.momentum, found.optim.nesterov) == ("sgd", 0.9, True)
    assert found.optim.label_smoothing == 0.1
    assert (found.net.dropout, found.net.init) == (dropout, init)
    assert found.data.select == select
    assert found.budget.factor * 270 == pytest.approx(epochs)
    assert found.budget.published * 270 == pytest.approx(published)
    assert found.evaluate.per_bucket == bucket


def test_augmentation():
    assert science("digits").augment.kind == "none"
    cifar = science("cifar100", "laptop-32").augment
    assert (cifar.kind, cifar.padding, cifar.flip) == ("crop", 4, True)
    for folder in ("imagenet100", "folder", "imagenet"):
        augment = science(folder).augment
        assert (augment.kind, augment.flip, augment.jitter) == ("resized-crop", True, "torch")
        assert augment.autoaugment is (folder == "imagenet")
        assert augment.erasing == (0.2 if folder == "imagenet" else 0.0)


def test_plain_augmentation():
    plain = load_toml(specs_root() / "recipes" / "plain.toml")
    assert plain == {"augment": {"jitter": "tf", "autoaugment": False, "erasing": 0.0}}


def test_laptop_warmup_is_a_quarter_of_the_first_epoch():
    warmup = science("cifar10", "laptop-32").optim.warmup
    assert warmup.unit == "epochs"
    assert warmup.amount * 8 / 270 == pytest.approx(0.25)
    assert science("cifar10").optim.warmup.amount == 0


@pytest.mark.parametrize("method", ["bignas", "bignas-port"])
def test_bignas_on_imagenet(method):
    """RMSProp, 0.256 at 4,096 images; everywhere else the base's SGD."""
    optim = science("imagenet", method=method).optim
    assert (optim.name, optim.base_lr, optim.batch) == ("rmsprop", pytest.approx(0.128), 2048)
    assert (optim.rms_alpha, optim.momentum, optim.nesterov) == (0.9, 0.9, False)
    assert optim.weight_decay == 1e-5
    assert optim.rms_eps == pytest.approx(0.001**0.5, rel=1e-9)
    for dataset in ("digits", "cifar10", "imagenet100", "folder"):
        assert science(dataset, method=method) == science(dataset)


def test_an_unknown_dataset_takes_the_folder_recipe():
    assert science("mine").optim == science("folder").optim


IMAGENET_ONLY = ("alphanet", "attentivenas", "attentivenas-worst", "fairnas", "spos")


def test_a_method_says_only_what_is_its_own():
    """Of the methods that are compared by default only BigNAS trains with another optimizer than
    the track's; DepS's least rate, ramp and aim are in epochs and absolute rates. Others have what
    their papers say for ImageNet, and there alone."""
    tables = {
        (path.stem, tuple(load_toml(path)))
        for path in (specs_root() / "recipes").glob("*/*.toml")
        if path.name != "base.toml" and path.stem not in IMAGENET_ONLY
    }
    for name in IMAGENET_ONLY:
        files = (specs_root() / "recipes").glob(f"*/{name}.toml")
        assert {path.parent.name: tuple(load_toml(path)) for path in files} == {
            "imagenet": ("optim",)
        }
    assert tables == {
        ("bignas", ("optim",)),
        ("bignas-port", ("optim",)),
        ("deps", ("lr",)),
    }
    for path in (specs_root() / "recipes").glob("*/deps.toml"):
        assert set(load_toml(path)["lr"]["ramped"]) <= {"floor", "ramp", "ahead"}


@pytest.mark.parametrize(
    ("dataset", "space", "folder"),
    [
        ("imagenet", "proxylessnas", "imagenet@proxylessnas"),
        ("imagenet", "proxylessnas-ofa", "imagenet@proxylessnas"),
        ("imagenet", "proxylessnas-ofa-w1.3", "imagenet@proxylessnas"),
        ("imagenet100", "proxylessnas-ofa", "imagenet100@proxylessnas"),
        ("mine", "proxylessnas", "folder@proxylessnas"),
        ("imagenet", "mobilenetv3-ofa-w1.2", "imagenet"),
        ("cifar10", "proxylessnas-32", "cifar10"),
        ("cifar10", "laptop-32", "cifar10@laptop-32"),
        ("cifar100", "laptop-32-proxyless", "cifar100@laptop-32"),
    ],
)
def test_a_space_takes_the_recipe_of_the_nearest_it_is_based_on(dataset, space, folder):
    laid = [path.parent.name for path, _ in recipe_files([specs_root()], dataset, space, "any")]
    assert laid[-1] == folder


def test_a_table_of_ones_own_takes_the_recipe_of_its_base(tmp_path):
    (tmp_path / "narrow.toml").write_text('base = "proxylessnas"\nsummary = "a"\nsource = "b"\n')
    (tmp_path / "round.toml").write_text('base = "round"\n')
    asked = {"dataset": "imagenet", "method": "any", "roots": [specs_root()]}
    laid = list(recipe_files(space=str(tmp_path / "narrow.toml"), **asked))
    assert laid[-1][0].parent.name == "imagenet@proxylessnas"
    laid = list(recipe_files(space=str(tmp_path / "round.toml"), **asked))
    assert laid[-1][0].parent.name == "imagenet"


def test_defaults():
    told = load_toml(specs_root() / "defaults.toml")
    assert told["run"] == {"method": "deps", "dataset": "digits"}
    assert told["compare"] == {"methods": ["ofa", "compofa", "bignas", "deps"]}
