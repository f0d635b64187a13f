"""A folder of few images is trained in smaller batches than the recipe has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ofa_bench import api


@pytest.fixture(params=[60, 400])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """Two classes of so many images each."""
    for split, count in (("train", request.param), ("val", 4)):
        for name in "ab":
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (2, 2), (number % 256, number // 256, ord(name))).save(
                    folder / f"{number}.png"
                )
    return tmp_path, request.param


def test_batch_and_rate_follow_the_images(tree: tuple[Path, int]) -> None:
    root, count = tree
    asked: dict[str, Any] = {"dataset": "folder", "data_dir": root, "space": "toy"}
    plan = api.plan(**asked)
    optim = plan.science.optim
    images = plan.sizes["train"]
    assert images == round(2 * count * 0.9)
    assert optim.batch == 16
    assert optim.norm_batch == 16
    assert optim.base_lr == pytest.approx(0.572 * optim.batch / 512)
    assert plan.schedule.steps_per_epoch >= images // 16
    assert "fitted" in plan.recipe.origins["optim.batch"]


def test_what_the_user_says_stays(tree: tuple[Path, int]) -> None:
    root, _ = tree
    said = api.plan(dataset="folder", data_dir=root, space="toy", set=("optim.batch=64",))
    assert said.science.optim.batch == 64


def test_sets_of_known_size_keep_their_recipe() -> None:
    assert api.plan(dataset="cifar10").science.optim.batch == 256
    assert api.plan(dataset="digits").science.optim.batch == 64
