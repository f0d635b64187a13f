"""What `--init` and `--teacher` take, what they refuse, and that a refusal changes nothing."""

from __future__ import annotations

import json
import shlex
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ofa_bench.errors import UsageError
from ofa_bench.nets.mbconv import MBConvNet, build
from ofa_bench.space import load_space
from ofa_bench.training.weights import load_weights, start_from
from ofa_bench.weight_files import official

State = dict[str, Any]


@pytest.fixture
def net() -> MBConvNet:
    return build(load_space("toy"), 5, seed=1)


@pytest.fixture
def trained() -> MBConvNet:
    return build(load_space("toy"), 5, seed=2)


def same(one: MBConvNet, other: MBConvNet, but: tuple[str, ...] = ()) -> bool:
    mine = dict(one.named_parameters())
    return all(torch.equal(mine[n], p) for n, p in other.named_parameters() if n not in but)


def official_state(net: MBConvNet) -> State:
    return {official.official_name(net, n): p.detach().clone() for n, p in net.named_parameters()}


def own_state(net: MBConvNet) -> State:
    return {n: p.detach().clone() for n, p in net.named_parameters()}


STATES = [own_state, official_state]
NAME = {own_state: "blocks.0.stem.weight", official_state: "first_conv.conv.weight"}

# --- what is no weight -----------------------------------------------------------------------


def nested(value: Tensor) -> Tensor:
    return torch.nested.nested_tensor([value.flatten()[:3], value.flatten()[:2]])


def infinite_in_single(value: Tensor) -> Tensor:
    return torch.full(value.shape, 1e300, dtype=torch.float64)


def one_nan(value: Tensor) -> Tensor:
    copy = value.clone()
    copy.view(-1)[-1] = float("nan")
    return copy


BAD: dict[str, Callable[[Tensor], Tensor]] = {
    "meta": lambda value: value.to("meta"),
    "sparse": lambda value: value.to_sparse(),
    "nested": nested,
    "quantized": lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
    "int8": lambda value: (value * 100).to(torch.int8),
    "int64": lambda value: value.to(torch.int64),
    "boolean": lambda value: value > 0,
    "complex": lambda value: value.to(torch.complex64),
    "nan": one_nan,
    "infinite": lambda value: value / 0,
    "infinite in single precision": infinite_in_single,
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("layout", STATES)
@pytest.mark.parametrize("which", ["first", "last"])
def test_a_tensor_that_is_no_weight_is_named_and_nothing_changes(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path, kind: str, layout: Any, which: str
) -> None:
    state = layout(trained)
    name = list(state)[0 if which == "first" else -1]
    state[name] = BAD[kind](state[name])
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UsageError) as caught:
        load_weights(net, tmp_path / "net.pth")
    assert name in caught.value.message and caught.value.hint
    assert same(net, build(net.space, 5, seed=1))


@pytest.mark.parametrize("kind", ["int8", "boolean", "nan", "infinite"])
def test_a_safetensors_file_is_checked_alike(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path, kind: str
) -> None:
    state = own_state(trained)
    name = sorted(state)[-1]
    state[name] = BAD[kind](state[name])
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(UsageError, match=name):
        load_weights(net, tmp_path / "net.safetensors")
    assert same(net, build(net.space, 5, seed=1))


@pytest.mark.parametrize("kind", BAD)
def test_a_state_from_python_is_checked_alike(
    net: MBConvNet, trained: MBConvNet, kind: str
) -> None:
    state = official_state(trained)
    state["classifier.linear.bias"] = BAD[kind](state["classifier.linear.bias"])
    with pytest.raises(UsageError, match=r"classifier\.linear\.bias"):
        official.load_state_dict(net, state)
    assert same(net, build(net.space, 5, seed=1))


def test_a_shape_without_storage_allocates_nothing(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path
) -> None:
    state = own_state(trained)
    state["blocks.0.stem.weight"] = torch.zeros(1).expand(2**20, 2**20, 2**10)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UsageError, match=r"blocks\.0\.stem\.weight"):
        load_weights(net, tmp_path / "net.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path, dtype: torch.dtype
) -> None:
    state = {name: value.to(dtype) for name, value in own_state(trained).items()}
    torch.save(state, tmp_path / "net.pth")
    load_weights(net, tmp_path / "net.pth")
    assert torch.equal(net.blocks[0].stem.weight, state["blocks.0.stem.weight"].float())


# --- sizes -----------------------------------------------------------------------------------


def test_files_far_larger_than_the_network_are_refused(net: MBConvNet, tmp_path: Path) -> None:
    torch.save({"blocks.0.stem.weight": torch.zeros(8_000_000)}, tmp_path / "net.pth")
    with pytest.raises(UsageError, match="bytes of weights") as caught:
        load_weights(net, tmp_path / "net.pth")
    assert "--limit weights-bytes-per-parameter=" in caught.value.hint


def test_a_file_without_end_is_not_hashed(tmp_path: Path) -> None:
    with (tmp_path / "net.pth").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(UsageError, match="bytes of weights"):
        start_from(tmp_path / "net.pth")


def test_a_long_header_is_not_read(
    net: MBConvNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = json.dumps({"__metadata__": {str(n): "x" * 90 for n in range(100_000)}}).encode()
    file = tmp_path / "net.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UsageError, match="header") as caught:
        load_weights(net, file)
    assert "--limit weights-header-bytes=" in caught.value.hint


def test_packed_checkpoints_do_not_inflate(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path
) -> None:
    torch.save({"x": torch.zeros(1_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    assert (tmp_path / "net.pth").stat().st_size < 100_000
    with pytest.raises(UsageError, match="packed"):
        load_weights(net, tmp_path / "net.pth")


# --- forms -----------------------------------------------------------------------------------


def renamed(prefix: str) -> Callable[[State], State]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


def wrapped(*keys: str) -> Callable[[State], State]:
    def wrap(state: State) -> State:
        for key in reversed(keys):
            state = {key: state}
        return {**state, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}

    return wrap


def compiled_blocks(state: State) -> State:
    return {n.replace(".", "._orig_mod.", 1): value for n, value in state.items()}


def averaged(state: State) -> State:
    return {"n_averaged": torch.tensor(4), **renamed("module.")(state)}


FORMS: dict[str, Callable[[State], State]] = {
    "plain": dict,
    "compiled": renamed("_orig_mod."),
    "parallel": renamed("module."),
    "parallel twice": renamed("module.module."),
    "compiled and parallel": renamed("module._orig_mod."),
    "attribute": renamed("model."),
    "attribute of a name nobody knows": renamed("my_supernet."),
    "compiled blocks": compiled_blocks,
    "averaged": averaged,
    **{key: wrapped(key) for key in ("model_state_dict", "state_dict", "model", "net")},
    **{key: wrapped(key) for key in ("model_ema", "state_dict_ema", "ema", "weights")},
    "lightning": lambda state: wrapped("state_dict")(renamed("model.")(state)),
    "distributed": lambda state: wrapped("model")(renamed("module._orig_mod.")(state)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", STATES)
def test_every_usual_form_of_a_checkpoint_loads(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path, form: str, layout: Any
) -> None:
    torch.save(FORMS[form](layout(trained)), tmp_path / "net.pth")
    load_weights(net, tmp_path / "net.pth")
    assert same(net, trained)


def test_a_state_dict_of_our_network_loads(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path
) -> None:
    torch.save(trained.state_dict(), tmp_path / "net.pth")
    assert load_weights(net, tmp_path / "net.pth") is None
    assert same(net, trained)
    save_file(renamed("module.")(own_state(trained)), tmp_path / "net.safetensors")
    other = build(net.space, 5, seed=3)
    load_weights(other, tmp_path / "net.safetensors")
    assert same(other, trained)


@pytest.mark.parametrize("ema", ["state_dict_ema", "model_ema", "ema"])
def test_of_two_sets_it_says_which_it_takes_and_takes_the_other_when_asked(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path, ema: str
) -> None:
    other, file = build(net.space, 5, seed=3), tmp_path / "net.pth"
    torch.save({ema: own_state(other), "model": own_state(trained)}, file)
    note = load_weights(net, file)
    assert same(net, trained)
    assert note is not None and "'model'" in note and f"{file}::{ema}" in note
    assert load_weights(net, f"{file}::{ema}") is None
    assert same(net, other)
    with pytest.raises(UsageError, match="no set of weights 'emma'") as caught:
        load_weights(net, f"{file}::emma")
    assert ema in caught.value.hint
    assert start_from(file) != start_from(f"{file}::{ema}")


def test_sets_under_names_of_their_own_are_offered(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path
) -> None:
    file = tmp_path / "a pair.pth"
    torch.save({"student": own_state(trained), "teacher": own_state(net), "epoch": 3}, file)
    with pytest.raises(UsageError) as refusal:
        load_weights(net, str(file))
    offered = [word for word in shlex.split(refusal.value.hint) if "::" in word]
    assert offered == [f"{file}::student", f"{file}::teacher"]
    load_weights(net, offered[0])
    assert same(net, trained)


def test_a_set_within_a_table_is_offered(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path
) -> None:
    file = tmp_path / "nested.pth"
    torch.save({"checkpoint": {"model": own_state(trained), "epoch": 3}}, file)
    with pytest.raises(UsageError) as refusal:
        load_weights(net, str(file))
    (offered,) = [word for word in shlex.split(refusal.value.hint) if "::" in word]
    assert offered == f"{file}::checkpoint.model"
    load_weights(net, offered)
    assert same(net, trained)


@pytest.mark.parametrize("wrong", ["torch.safetensors", "tensors.pth", "tensors"])
def test_a_file_is_read_as_what_it_is_not_as_what_it_is_called(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path, wrong: str
) -> None:
    write = torch.save if wrong.startswith("torch") else save_file
    write(own_state(trained), tmp_path / wrong)
    load_weights(net, str(tmp_path / wrong))
    assert same(net, trained)


def test_a_file_s_name_may_hold_the_separator(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path
) -> None:
    torch.save(trained.state_dict(), tmp_path / "a::b.pth")
    load_weights(net, tmp_path / "a::b.pth")
    assert same(net, trained)


def test_missing_and_surplus_names_are_named(
    net: MBConvNet, trained: MBConvNet, tmp_path: Path
) -> None:
    state = own_state(trained)
    state["blocks.9.stranger"] = state.pop("blocks.0.stem.weight")
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UsageError, match=r"missing blocks\.0\.stem.*surplus blocks\.9\.stranger"):
        load_weights(net, tmp_path / "net.pth")


# --- a fresh head ----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", STATES)
@pytest.mark.parametrize("classes", [5, 7, 1])
def test_a_fresh_head_takes_all_but_the_classifier(
    net: MBConvNet, tmp_path: Path, layout: Any, classes: int
) -> None:
    trained = build(net.space, classes, seed=2)
    torch.save(layout(trained), tmp_path / "net.pth")
    head = ("blocks.7.classifier.weight", "blocks.7.classifier.bias")
    load_weights(net, tmp_path / "net.pth", "fresh")
    assert same(net, trained, but=head)
    fresh = build(net.space, 5, seed=1)
    assert all(torch.equal(net.get_parameter(n), fresh.get_parameter(n)) for n in head)
    assert not same(net, fresh, but=head)


def test_only_the_classifier_is_the_head_where_other_layers_are_as_wide(tmp_path: Path) -> None:
    net, trained = (build(load_space("toy"), 32, seed=seed) for seed in (1, 2))
    torch.save(own_state(trained), tmp_path / "net.pth")
    load_weights(net, tmp_path / "net.pth", "fresh")
    assert same(net, trained, but=("blocks.7.classifier.weight", "blocks.7.classifier.bias"))


def test_a_checkpoint_without_a_head_gives_a_fresh_one(net: MBConvNet, tmp_path: Path) -> None:
    state = {n: v for n, v in own_state(build(net.space, 5, seed=2)).items() if "classif" not in n}
    torch.save(state, tmp_path / "net.pth")
    load_weights(net, tmp_path / "net.pth", "fresh")
    with pytest.raises(UsageError, match="missing"):
        load_weights(net, tmp_path / "net.pth")


def test_other_classes_are_refused_with_a_way_out(net: MBConvNet, tmp_path: Path) -> None:
    torch.save(own_state(build(net.space, 7, seed=2)), tmp_path / "net.pth")
    with pytest.raises(UsageError, match="classifier") as caught:
        load_weights(net, tmp_path / "net.pth")
    assert "--init-head fresh" in caught.value.hint


def test_a_fresh_head_is_another_beginning(tmp_path: Path, net: MBConvNet) -> None:
    torch.save(own_state(net), tmp_path / "net.pth")
    assert start_from(tmp_path / "net.pth") != start_from(tmp_path / "net.pth", "fresh")


ANCESTOR = {"run": "r", "record_sha256": None, "subnet": {}, "name": "n", "top1_select": 1.0,
            "top1_test": 1.0, "train_macs": 1, "device_seconds": 1.0, "usd": None}  # fmt: skip


@pytest.mark.parametrize(
    "subnet",
    ['{"k": [NaN]}', '{"k": [1e999]}', "[" * 40 + "]" * 40, json.dumps({"k": "x" * 10**5})],
    ids=["nan", "infinite", "deep", "long"],
)
def test_an_ancestor_that_no_record_may_hold_is_none(subnet: str, tmp_path: Path) -> None:
    """It is read before training; a record with it could not be stored at the end."""
    from ofa_bench.weight_files.ancestry import KEY, ancestor_of

    path = tmp_path / "w.safetensors"
    whole = json.dumps(ANCESTOR)
    save_file({"x": torch.zeros(1)}, path, {KEY: whole})
    assert ancestor_of(str(path)) is not None
    save_file({"x": torch.zeros(1)}, path, {KEY: whole.replace("{}", subnet)})
    assert ancestor_of(str(path)) is None


def test_an_ancestors_name_is_printable(tmp_path: Path) -> None:
    from ofa_bench.weight_files.ancestry import KEY, ancestor_of

    path = tmp_path / "w.safetensors"
    save_file({"x": torch.zeros(1)}, path, {KEY: json.dumps(ANCESTOR | {"name": "a\x1b[2J"})})
    ancestor = ancestor_of(str(path))
    assert ancestor is not None and ancestor.name.isprintable()
