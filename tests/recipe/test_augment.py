"""AutoAugment's interpolation is science where it acts, and absent where it does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from ofa_bench import api
from ofa_bench.data.transforms.per_sample import Augmented
from ofa_bench.recipe import Request, recorded_recipe
from ofa_bench.recipe.fingerprint import canonical
from ofa_bench.recipe.models import Augment
from ofa_bench.seeding import key

OLD = {"kind", "padding", "flip", "jitter", "autoaugment", "erasing"}


def dumped(*settings: str) -> dict[str, Any]:
    return api.plan(dataset="imagenet", set=settings).science.model_dump(mode="json")


def again(science: dict[str, Any]) -> dict[str, Any]:
    """A record's science, read and written."""
    request = Request(recorded={"science": science, "origins": {}})
    return recorded_recipe(request, api.catalogue_for(request)).science.model_dump(mode="json")


def test_imagenet_says_bilinear() -> None:
    assert dumped()["augment"]["interpolation"] == "bilinear"
    assert canonical(again(dumped())) == canonical(dumped())


@pytest.mark.parametrize("dataset", ["digits", "cifar10", "imagenet100", "imagenet"])
def test_recipes_without_autoaugment_are_as_they_were(dataset: str) -> None:
    plan = api.plan(dataset=dataset, set=("augment.autoaugment=false",))
    science = plan.science.model_dump(mode="json")
    assert set(science["augment"]) == OLD
    assert canonical(again(science)) == canonical(science)


def test_an_older_record_was_by_nearest_neighbour_and_stays_so() -> None:
    science = dumped("augment.interpolation=nearest")
    assert set(science["augment"]) == OLD
    older = copy.deepcopy(science)
    assert canonical(again(older)) == canonical(science)
    request = Request(recorded={"science": older})
    recipe = recorded_recipe(request, api.catalogue_for(request))
    assert recipe.science.augment.interpolation == "nearest"


def test_nearest_neighbour_gives_the_pixels_of_older_runs() -> None:
    options = Augment(kind="none", flip=False, autoaugment=True, interpolation="nearest")
    ours = Augmented(options, 32, 0, (0.5, 0.5, 0.5))
    plain = v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    for position in range(40):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key("sample", 0, 0, position))
            torch.randint(0, 2, (2, 1)), torch.randint(0, 2, (1,))
            expected = plain(image)
        assert torch.equal(ours(image, 0, position), expected)


def test_the_identity_tells_the_two_apart() -> None:
    assert canonical(dumped()) != canonical(dumped("augment.interpolation=nearest"))
    plain = ("augment.autoaugment=false",)
    inert = (*plain, "augment.interpolation=nearest")
    assert canonical(dumped(*plain)) == canonical(dumped(*inert))
