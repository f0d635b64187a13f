"""The official package's image transforms: ours in evaluation, the tests' own in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ofa_bench.data.sources.batch import Normalise
from ofa_bench.data.transforms.per_sample import Plain
from ofa_bench.recipe.models import Augment
from tests.data.pillow import Numbers, jitter, resized_crop
from tests.data.test_pixels import drawn, tensor

pytest.importorskip("ofa")

SIDE, COUNT = 64, 40
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def loader(colour: str | None) -> Any:
    """The package's loader without its data set."""
    from ofa.imagenet_classification.data_providers.imagenet import ImagenetDataProvider

    provider = object.__new__(ImagenetDataProvider)
    provider.active_img_size, provider.image_size = SIDE, SIDE
    provider.resize_scale, provider.distort_color = 0.08, colour
    return provider


def test_evaluation() -> None:
    theirs, ours = loader(None).build_valid_transform(), Plain(Augment(kind="resized-crop"), SIDE)
    normalise = Normalise(MEAN, STD, torch.device("cpu"))
    level = 1 / (255 * min(STD))
    for number in range(COUNT):
        image = drawn(number)
        pixels = normalise(ours(tensor(image)).permute(1, 2, 0).unsqueeze(0))[0]
        difference = (pixels - theirs(image)).abs()
        assert float(difference.max()) < 1.01 * level
        assert float(difference.mean()) < 0.5 * level


@pytest.mark.parametrize("colour", ["tf", "torch"])
def test_the_tests_own_crop_and_jitter_are_the_packages(colour: str) -> None:
    crop, _, colours, *_ = loader(colour).build_train_transform(SIDE, print_log=False).transforms
    for number in range(COUNT):
        image = drawn(number)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            cropped = crop(image)
            torch.manual_seed(number)
            coloured = colours(cropped)
        mine = resized_crop(image, SIDE, Numbers(number))
        assert np.array_equal(np.asarray(mine), np.asarray(cropped))
        mine = jitter(mine, colour, Numbers(number))
        assert np.array_equal(np.asarray(mine), np.asarray(coloured))
