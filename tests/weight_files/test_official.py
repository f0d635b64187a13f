from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import Space, load_table
from ofa_bench.weight_files import official
from ofa_bench.weight_files.reading import read_weights

State = dict[str, Tensor]


def toy(kernels: tuple[int, ...] = (3, 5), transforms: bool = True, mix: int = 32) -> Space:
    table = load_table("toy")
    rows = tuple(replace(row, kernel=kernels) for row in table.rows)
    head = replace(table.head, mix=mix)
    return Space(replace(table, rows=rows, transforms=transforms, head=head))


@pytest.fixture
def net() -> MBConvNet:
    return build(toy(), 5, seed=1)


def static(net: MBConvNet) -> State:
    """The weights as a static net of the package would be saved, with what training leaves."""
    state = {
        official.official_name(net, name): parameter.detach().clone()
        for name, parameter in net.named_parameters()
    }
    state["first_conv.bn.running_mean"] = torch.zeros(8)
    state["first_conv.bn.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return state


def elastic(state: State) -> State:
    """As an elastic net: what is sliced lies one level deeper, in the blocks after the first."""

    def deeper(name: str) -> str:
        if re.match(r"blocks\.(?!0\.)", name) and ".se." not in name:
            name = re.sub(r"\.bn\.(?=\w+$)", ".bn.bn.", name)
            name = re.sub(r"\.conv\.weight$", ".conv.conv.weight", name)
        return name.replace("classifier.linear.", "classifier.linear.linear.")

    return {deeper(name): value for name, value in state.items()}


def older(state: State) -> State:
    """As early releases: a block's body has a longer name."""
    pattern = re.compile(r"^(blocks\.\d+)\.conv\.")
    return {pattern.sub(r"\1.mobile_inverted_conv.", name): v for name, v in state.items()}


def parallel(state: State) -> State:
    return {f"module.{name}": value for name, value in state.items()}


LAYOUTS = [static, lambda net: elastic(static(net)), lambda net: older(elastic(static(net)))]
LAYOUTS += [lambda net: older(static(net)), lambda net: parallel(static(net))]


def test_names_are_the_packages(net: MBConvNet) -> None:
    """Spot checks against keys of released checkpoints."""
    names = set(elastic(static(net)))
    assert {
        "first_conv.conv.weight",
        "blocks.0.conv.depth_conv.conv.weight",
        "blocks.1.conv.inverted_bottleneck.conv.conv.weight",
        "blocks.1.conv.depth_conv.conv.conv.weight",
        "blocks.1.conv.depth_conv.conv.5to3_matrix",
        "blocks.1.conv.point_linear.bn.bn.bias",
        "blocks.3.conv.depth_conv.se.fc.reduce.bias",
        "final_expand_layer.bn.weight",
        "feature_mix_layer.conv.weight",
        "classifier.linear.linear.bias",
    } <= names


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_loads(net: MBConvNet, layout: Callable[[MBConvNet], State]) -> None:
    other = build(net.space, 5, seed=2)
    official.load_state_dict(other, layout(net))
    for name, parameter in net.named_parameters():
        assert torch.equal(other.get_parameter(name), parameter), name


def test_a_head_without_mix_has_its_own_names() -> None:
    net = build(toy(mix=0), 5, seed=1)
    state = static(net)
    assert "feature_mix_layer.bn.weight" in state and "final_expand_layer.conv.weight" not in state
    other = build(net.space, 5, seed=2)
    official.load_state_dict(other, state)
    assert torch.equal(
        other.get_parameter("blocks.7.final.weight"), state["feature_mix_layer.conv.weight"]
    )


def test_matrices_that_a_checkpoint_lacks_become_the_identity(net: MBConvNet) -> None:
    state = {name: value for name, value in static(net).items() if "matrix" not in name}
    other = build(net.space, 5, seed=2)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if "matrix" in name:
                parameter.zero_()
    official.load_state_dict(other, state)
    assert torch.equal(other.get_parameter("blocks.2.depthwise.matrix_5to3"), torch.eye(9))


def test_one_missing_matrix_is_missing(net: MBConvNet) -> None:
    state = static(net)
    del state["blocks.2.conv.depth_conv.conv.5to3_matrix"]
    with pytest.raises(UsageError, match=r"missing blocks\.2\.conv\.depth_conv\.conv\.5to3_matrix"):
        official.load_state_dict(net, state)


def test_matrices_are_left_out_only_where_no_subnet_would_use_them(net: MBConvNet) -> None:
    official.load_state_dict(build(toy((5,)), 5), static(net))
    with pytest.raises(UsageError, match=r"surplus .*5to3_matrix"):
        official.load_state_dict(build(toy(transforms=False), 5), static(net))


def refused(net: MBConvNet, state: State) -> str:
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    with pytest.raises(UsageError) as caught:
        official.load_state_dict(net, state)
    assert all(torch.equal(before[name], p) for name, p in net.named_parameters())
    assert caught.value.hint
    return caught.value.message


def test_missing_and_surplus_keys_are_named_and_nothing_changes(net: MBConvNet) -> None:
    state = elastic(static(build(net.space, 5, seed=9)))
    state["blocks.9.conv.point_linear.conv.conv.weight"] = state.pop(
        "classifier.linear.linear.bias"
    )
    message = refused(net, state)
    assert "missing classifier.linear.bias" in message
    assert "surplus blocks.9.conv.point_linear.conv.weight" in message


def test_wrong_shapes_are_named_and_nothing_changes(net: MBConvNet) -> None:
    state = static(build(net.space, 7, seed=9))
    assert "classifier.linear.weight is (7, 32), not (5, 32)" in refused(net, state)


def test_what_is_no_weight_is_refused(net: MBConvNet) -> None:
    state = static(net)
    state["first_conv.conv.weight"] = torch.zeros(8, 3, 3, 3, dtype=torch.int64)
    assert "first_conv.conv.weight" in refused(net, state)


def test_two_layouts_at_once_are_refused(net: MBConvNet) -> None:
    state = static(net)
    assert "twice" in refused(net, {**state, **elastic(state)})


def test_loading_forgets_calibrated_statistics(net: MBConvNet) -> None:
    for norm in net.norms(0).values():
        norm.statistics = (torch.zeros(8), torch.ones(8))
    official.load_state_dict(net, static(net))
    assert all(norm.statistics is None for norm in net.norms(0).values())


@pytest.mark.parametrize("wrapped", [False, True])
def test_files_come_back_as_saved(net: MBConvNet, tmp_path: Path, wrapped: bool) -> None:
    state = static(net)
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "net.pth")
    found = read_weights(tmp_path / "net.pth").state
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_files_of_the_old_kind_and_safetensors_are_read(net: MBConvNet, tmp_path: Path) -> None:
    state = static(net)
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "net.safetensors")
    for name in ("old.pth", "net.safetensors"):
        assert read_weights(tmp_path / name).state.keys() == state.keys()


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", [None, 2, 4, 5])
def test_pickled_code_is_told_and_not_executed(tmp_path: Path, protocol: int | None) -> None:
    mark, file = tmp_path / "mark", tmp_path / "evil.pth"
    if protocol is None:
        torch.save({"weight": Payload(mark)}, file)
    else:
        file.write_bytes(pickle.dumps({"weight": Payload(mark)}, protocol))
    with pytest.raises(UsageError, match=r"pickle.* not executed"):
        read_weights(file)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_truncated_files_are_refused(
    net: MBConvNet, tmp_path: Path, suffix: str, share: float
) -> None:
    file = tmp_path / f"net{suffix}"
    save_file(static(net), file) if suffix == ".safetensors" else torch.save(static(net), file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UsageError, match=r"empty|truncated"):
        read_weights(file)


@pytest.mark.parametrize("content", [b"hello\n" * 99, bytes(range(256)) * 9, b"\x89PNG\r\n", b"PK"])
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(UsageError, match="not a checkpoint"):
        read_weights(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"a": 3}, {"a": {"b": torch.zeros(1)}}, torch.zeros(2)]
)
def test_files_without_named_tensors_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UsageError):
        read_weights(tmp_path / "net.pth")


def test_absent_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(UsageError, match="no such file"):
            read_weights(path)
