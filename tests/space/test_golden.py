"""MACs and parameters against values computed elsewhere."""

from __future__ import annotations

import statistics

import pytest

from . import golden
from .spaces import configured, loaded, rows

CASES = [
    pytest.param(space, name, numbers[0], resolution, macs, id=f"{space} {name} {resolution}")
    for space, table, resolutions in (
        ("mobilenetv3-ofa", golden.MOBILENETV3, (224, 192, 160, 128)),
        ("mobilenetv3-compofa", golden.MOBILENETV3, (224, 192, 160, 128)),
        ("mobilenetv3-ofa-w1.2", golden.MOBILENETV3_WIDE, (224, 160)),
        ("proxylessnas-ofa", golden.PROXYLESSNAS, (224, 192, 160)),
        ("proxylessnas-ofa-w1.3", golden.PROXYLESSNAS_WIDE, (224, 160)),
    )
    for name, numbers in rows(table)
    for resolution, macs in zip(resolutions, numbers[1:], strict=True)
]


@pytest.mark.parametrize(("space", "name", "params", "resolution", "macs"), CASES)
def test_elastic_families(space: str, name: str, params: int, resolution: int, macs: int) -> None:
    found = loaded(space)
    subnet = configured(found, name, resolution)
    assert found.params(subnet) == params
    assert found.macs(subnet) == macs


@pytest.mark.parametrize(("name", "numbers"), rows(golden.MOBILENETV3_32))
def test_cifar_family(name: str, numbers: list[int]) -> None:
    space = loaded("mobilenetv3-ofa-32")
    subnet = configured(space, name, 32)
    ten, hundred = space.macs(subnet, classes=10), space.macs(subnet, classes=100)
    assert [space.params(subnet, classes=10), ten, hundred] == numbers
    # 100 classes = +115 290 parameters, +115 200 MACs
    assert space.params(subnet, classes=100) == numbers[0] + 115_290


@pytest.mark.parametrize(
    ("name", "classes", "table"),
    [("mobilenetv3", 1000, golden.NINE_224), ("mobilenetv3-32", 10, golden.NINE_32)],
)
def test_nine_uniform_nets(name: str, classes: int, table: str) -> None:
    space = loaded(name)
    expected = {name: macs for name, (macs,) in rows(table)}
    found = {str(net).rpartition("r")[0]: space.macs(net, classes) for net in space.uniform()}
    assert found == expected
    assert list(found) == list(expected), "ordered by depth, then expand ratio"


@pytest.mark.parametrize(("name", "numbers"), rows(golden.IMAGENET_100))
def test_hundred_classes(name: str, numbers: list[int]) -> None:
    space = loaded("mobilenetv3")
    subnet = space.subnet(name)
    assert [space.params(subnet, 100), space.macs(subnet, 100)] == numbers


@pytest.mark.parametrize(("name", "numbers"), rows(golden.MOBILENETV3))
def test_classes_only_move_the_classifier(name: str, numbers: list[int]) -> None:
    space = loaded("mobilenetv3-ofa")
    subnet = configured(space, name, 224)
    saved = (numbers[0] - space.params(subnet, 100), numbers[1] - space.macs(subnet, 100))
    assert saved == golden.HUNDRED_CLASSES


@pytest.mark.parametrize(("name", "numbers"), rows(golden.SUPERNETS))
def test_whole_supernets_without_their_matrices(name: str, numbers: list[int]) -> None:
    classes, params, blocks = numbers
    space = loaded(name)
    assert space.params(space.largest, classes) == params - blocks * golden.MATRICES
    assert sum(map(len, space.blocks)) == blocks


def test_coupled_subnets() -> None:
    whole = loaded("mobilenetv3-ofa")
    space = whole.only(kernel=golden.FIXED_KERNELS, expand=golden.COUPLING, resolution=(224,))
    macs = sorted(space.macs(subnet) for subnet in space)
    mean = statistics.fmean(macs)
    assert len(set(macs)) == len(macs) == 243
    assert (macs[0], macs[121], round(mean), macs[-1]) == golden.COUPLED_243
    assert space.mean_macs(measure="dims") == pytest.approx(mean, rel=1e-12)
    assert space.mean_macs(measure="archs") == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize(("full", "smallest", "params", "name"), [
    (3.9, 1.0, 0.50, "laptop-32"),
    (1.08, 0.27, 0.17, "laptop-8"),
])  # fmt: skip
def test_laptop_spaces(full: float, smallest: float, params: float, name: str) -> None:
    space = loaded(name)
    assert space.macs(space.largest, 10) / 1e6 == pytest.approx(full, abs=0.05)
    assert space.macs(space.smallest, 10) / 1e6 == pytest.approx(smallest, abs=0.01)
    assert space.params(space.largest, 10) / 1e6 == pytest.approx(params, abs=0.005)
