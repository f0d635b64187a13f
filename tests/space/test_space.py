"""Counting, canonical form, subspaces and identity."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ofa_bench.errors import UsageError
from ofa_bench.space import Space, Subnet

from . import golden
from .spaces import loaded


def test_counts() -> None:
    ofa = loaded("mobilenetv3-ofa")
    assert ofa.count == 7371**5 == 21_758_655_492_572_485_851
    assert loaded("mobilenetv3").count == len(loaded("mobilenetv3")) == 117**5 == 21_924_480_357
    assert loaded("proxylessnas-ofa").count == 7371**5 * 9
    coupled = ofa.only(expand=golden.COUPLING)
    assert coupled.count == 117**5
    assert len(coupled.only(kernel=golden.FIXED_KERNELS)) == 243
    assert loaded("toy").count == (2 + 4) ** 3


def test_len_does_not_fit_the_largest_space() -> None:
    space = loaded("mobilenetv3-ofa")
    assert space.count > sys.maxsize
    with pytest.raises(OverflowError):
        len(space)
    assert space, "truth must not ask for a length"


def test_iteration_gives_every_net_once() -> None:
    space = loaded("toy")
    nets = list(space)
    assert len(set(nets)) == len(nets) == space.count
    assert all(net in space for net in nets)
    assert {space.largest, space.smallest, *space.uniform()} <= set(nets)


def test_inactive_slots_do_not_tell_networks_apart() -> None:
    space = loaded("mobilenetv3-ofa")
    kernel, expand, depth = golden.MIXED["mixA"]
    one = space.subnet({"kernel": kernel, "expand": expand, "depth": depth})
    # slots 2 and 3 are inactive at depth 2
    other = space.subnet({"kernel": [*kernel[:2], 7, None, *kernel[4:]],
                          "expand": [*expand[:2], 3, None, *expand[4:]],
                          "depth": depth})  # fmt: skip
    assert one == other and hash(one) == hash(other) and one.to_json() == other.to_json()
    assert one.kernel[:4] == (3, 5, None, None)
    assert one != space.subnet({"kernel": [*kernel[:1], 7, *kernel[2:]],
                                "expand": expand, "depth": depth})  # fmt: skip


def test_ends() -> None:
    space = loaded("mobilenetv3-ofa")
    assert space.largest == space.subnet("k7e6d4r224")
    assert space.smallest == space.subnet("k3e3d2r128")
    assert loaded("mobilenetv3").smallest.resolution == 224


def test_active_blocks_in_forward_order() -> None:
    space = loaded("proxylessnas-ofa")
    subnet = space.subnet("k5e4d2")
    active = list(space.active(subnet))
    assert [slot for _, slot, _, _ in active] == [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20]
    assert {(kernel, expand) for _, _, kernel, expand in active} == {(5, 4)}
    assert [space.depth_of(subnet, stage) for stage in range(6)] == [2, 2, 2, 2, 2, 1]
    assert len(subnet.depth) == 5 and space.blocks[5] == (20,)


def test_choices() -> None:
    space = loaded("proxylessnas-ofa")
    assert space.choices("kernel") == (3, 5, 7)
    assert space.choices("depth") == (2, 3, 4), "the sixth stage never varies"
    assert space.choices("resolution")[:2] == (128, 132)
    narrowed = space.only(depth=(4,), expand=[(6,)] * 5 + [(3, 4)])
    assert narrowed.choices("depth") == (4,)
    assert narrowed.choices("expand") == (3, 4, 6)
    with pytest.raises(UsageError, match="no axis 'width'"):
        space.choices("width")


def test_membership() -> None:
    space = loaded("mobilenetv3-ofa")
    part = space.only(depth=(2, 3), kernel=(7,), resolution=(160, 224))
    assert part.largest in space and part.smallest in part
    assert space.largest not in part
    assert space.subnet("k7e6d3r160") in part
    assert space.subnet("k7e6d3r128") not in part
    assert space.subnet("k5e6d3r224") not in part
    assert loaded("toy").largest not in space and "k7e6d3" not in part
    loose = Subnet((7,) * 20, (6,) * 20, (2,) * 5, 224)
    assert loose not in space, "not canonical"


def test_coupled_subspace() -> None:
    space = loaded("mobilenetv3-ofa").only(expand=golden.COUPLING)
    assert space.largest == loaded("mobilenetv3-ofa").largest
    assert space.smallest == loaded("mobilenetv3-ofa").smallest
    assert loaded("mobilenetv3-ofa").subnet("k7e3d4") not in space
    pairs = {(net.depth[0], net.expand[0]) for net in space.uniform()}
    assert pairs == {(2, 3), (3, 4), (4, 6)}
    assert len(space.uniform()) == 9
    shallow = space.only(depth=(2, 3))
    assert shallow.count == (3**2 + 3**3) ** 5
    proxyless = loaded("proxylessnas").only(expand=golden.COUPLING)
    assert proxyless.count == 3**5 * 3, "a stage of fixed depth keeps its ratios"


def test_uniform_nets_of_a_space_with_kernels_fixed_by_stage() -> None:
    space = loaded("mobilenetv3-ofa").only(kernel=golden.FIXED_KERNELS, expand=golden.COUPLING)
    nets = space.uniform()
    assert [space.macs(net) for net in nets] == [124_326_864, 231_579_712, 446_764_320]


def test_one_entry_per_stage() -> None:
    space = loaded("toy").only(depth=[(1,), (2,), (1, 2)], expand=[(2,), {2: (3,)}, (2, 3)])
    assert space.count == 1 * 1 * (2 + 4)
    assert space.smallest.depth == (1, 2, 1)
    assert space.smallest.expand == (2, None, 3, 3, 2, None)


def test_resolutions_of_a_subspace() -> None:
    space = loaded("mobilenetv3-ofa").only(resolution=(160, 132))
    assert (space.resolutions, space.listed) == ((132, 160), (160,))
    assert loaded("mobilenetv3-ofa").only(resolution=(132,)).listed == (132,)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"kernel": (9,)}, "kernel 9 is not a choice of stage 1"),
        ({"depth": [(2,), (3,), (4,), (2,), (5,)]}, "depth 5 is not a choice of stage 5"),
        ({"expand": ()}, "expand of stage 1 is left without a choice"),
        ({"depth": [(2,), (3,)]}, "2 entries for 5 stages"),
        ({"expand": {2: (3,), 3: (4,)}}, "nothing about depth 4"),
        ({"expand": {2: (3,), 3: (4,), 4: (5,)}}, "expand 5 is not a choice"),
        ({"resolution": (225,)}, "resolution 225 is not a choice"),
    ],
)
def test_only_refuses_what_is_not_there(wish: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        loaded("mobilenetv3-ofa").only(**wish)  # type: ignore[arg-type]
    assert caught.value.hint


def test_only_never_widens() -> None:
    part = loaded("mobilenetv3-ofa").only(kernel=(7,), expand=golden.COUPLING)
    with pytest.raises(UsageError):
        part.only(kernel=(3, 7))
    with pytest.raises(UsageError):
        part.only(expand=(6,))


def test_identity() -> None:
    whole = loaded("mobilenetv3-ofa")
    same = whole.only(kernel=(3, 5, 7), depth=(2, 3, 4))
    part = whole.only(kernel=(7,))
    assert same == whole and hash(same) == hash(whole)
    assert part != whole and part.fingerprint() != whole.fingerprint()
    assert whole.only(resolution=(224,)) != whole
    assert part != loaded("mobilenetv3"), "the matrices belong to the table"


@pytest.mark.parametrize("name", ["toy", "proxylessnas-ofa", "mobilenetv3-ofa"])
def test_description_round_trip(name: str) -> None:
    whole = loaded(name)
    parts = [whole, whole.only(expand=(3,)), whole.only(resolution=whole.listed[:1])]
    if name != "toy":
        parts.append(whole.only(kernel=(5,), expand=golden.COUPLING))
    for part in parts:
        again = Space.from_description(whole.table, part.describe())
        assert again == part and again.count == part.count


def test_descriptions_that_do_not_fit() -> None:
    toy = loaded("toy")
    with pytest.raises(UsageError, match="does not fit"):
        Space.from_description(toy.table, loaded("laptop-8").describe())
    with pytest.raises(UsageError, match="broken"):
        Space.from_description(toy.table, {"space": "toy"})


def test_costs_of_a_foreign_subnet() -> None:
    with pytest.raises(UsageError, match="not a subnet of toy"):
        loaded("toy").macs(loaded("mobilenetv3").largest)


@pytest.mark.parametrize("measure", ["dims", "archs"])
def test_mean_macs(measure: str) -> None:
    space = loaded("toy")
    if measure == "archs":
        expected = sum(map(space.macs, space)) / space.count
    else:
        # a depth is drawn first, so its nets share its probability
        weights = {net: 2.0 ** -sum(net.depth) for net in space}
        total = sum(weights.values())
        expected = sum(space.macs(net) * weight for net, weight in weights.items()) / total
    assert space.mean_macs(measure=measure) == pytest.approx(expected, rel=1e-12)


def test_mean_macs_over_resolutions() -> None:
    space = loaded("mobilenetv3-ofa")
    each = [space.mean_macs(resolution=size) for size in space.resolutions]
    assert space.mean_macs() == pytest.approx(sum(each) / len(each), rel=1e-12)


def test_spaces_need_neither_torch_nor_numpy() -> None:
    code = """
import random, sys
from ofa_bench.space import load_space
space = load_space("mobilenetv3-ofa")
space.macs(space.sample(random.Random(0)))
print(sorted({"numpy", "scipy", "torch"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
