"""Latency measured: on a made-up device, whose times are known, and a little on the real ones."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from ofa_bench import api
from ofa_bench.cli.main import main
from ofa_bench.deploy.latency.devices import TorchCpu, open_device
from ofa_bench.deploy.latency.measure import measure_whole
from ofa_bench.deploy.latency.onnx_cpu import OnnxCpu
from ofa_bench.deploy.latency.parts import deployed, parts
from ofa_bench.errors import BenchError, UnknownName, UsageError
from ofa_bench.recipe.arguments import request
from ofa_bench.runs.requests import catalogue_for
from ofa_bench.search.latency_table import load_latency_table, to_toml
from ofa_bench.space import Space, load_space
from ofa_bench.testing import check_plugin
from tests.latency_tables import proportional

CLASSES, CALL, PER_WEIGHT = 10, 0.01, 1e-6
DEVICES = """
from ofa_bench import hookimpl

class Abacus:
    processor = "an abacus"
    def __init__(self, threads):
        self.threads = threads
    def versions(self):
        return {"abacus": "1"}
    def prepare(self, module, shape):
        weights = sum(p.numel() for p in module.parameters())
        return lambda: 0.01 + shape[0] * weights * 1e-6
    def close(self):
        pass

class Backwards(Abacus):
    def prepare(self, module, shape):
        weights = sum(p.numel() for p in module.parameters())
        return lambda: -1.0 - weights

class Stopped(Abacus):
    def prepare(self, module, shape):
        def call():
            raise KeyboardInterrupt
        return call

class Alike(Abacus):
    def prepare(self, module, shape):
        return lambda: 1.0

@hookimpl
def register(catalogue):
    catalogue.device("abacus", Abacus)
    catalogue.device("backwards", Backwards)
    catalogue.device("stopped", Stopped)
    catalogue.device("alike", Alike)
"""
Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("devices") / "beads.py"
    path.write_text(DEVICES)
    return str(path)


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("toy")


@pytest.fixture
def call(plugin: str, capsys: pytest.CaptureFixture[str]) -> Call:
    """`ofa-bench latency measure toy` on a device of the plugin."""

    def called(device: str, *words: object) -> tuple[int, str]:
        line = ["latency", "measure", "toy", "--device", device, "--plugin", plugin]
        code = main([*line, "--rounds", "2", "--classes", "10", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return called


def test_known_times_add_up(plugin: str, space: Space, tmp_path: Path) -> None:
    """Parts without a call's own time, and one call: exactly the time of a whole net."""
    file = tmp_path / "t.toml"
    said: list[str] = []
    table = api.latency(
        "toy",
        device="abacus",
        batch=2,
        classes=CLASSES,
        rounds=2,
        plugins=(plugin,),
        output=file,
        watch=lambda share, text: said.append(text),
    )
    assert load_latency_table(file) == table and said
    assert table.misfit(space, CLASSES) is None and table.versions["abacus"] == "1"
    cost, rng = table.cost(), random.Random(1)
    for net in (space.smallest, space.largest, *(space.sample(rng) for _ in range(20))):
        wanted = CALL + 2 * space.params(net, CLASSES) * PER_WEIGHT
        assert cost.of(space, net) == pytest.approx(wanted, rel=1e-5)
    assert table.check.nets == 30 and table.calibration.nets == 22
    assert table.check.median_error < 1e-5 and table.check.tau > 0.99
    assert table.check.repeat_error == 0 and table.check.repeat_tau == pytest.approx(1.0)
    catalogue = catalogue_for(request(plugins=(plugin,)))
    nets = [space.sample(rng) for _ in range(3)]
    supernet = api.build_supernet(space, CLASSES)
    times = measure_whole(supernet, nets, table, rounds=2, catalogue=catalogue)
    for net, timing in zip(nets, times, strict=True):
        assert timing.ms == pytest.approx(cost.of(space, net), rel=1e-5)


def test_every_block_of_the_table_is_measured(space: Space) -> None:
    net = api.build_supernet(space, CLASSES)
    found = dict(parts(net, 8, 1))
    assert set(found) == {*space.costs.params.blocks, "trunk", "head"}
    for key, subject in found.items():
        if not isinstance(key, str):
            weights = sum(p.numel() for p in subject.module.parameters())
            assert weights == space.costs.params.blocks[key]


def test_a_net_is_deployed_as_the_supernet_has_it(space: Space) -> None:
    """All convolutions and no training left; shortcuts where the run has them."""
    net = api.build_supernet(space, CLASSES, shortcuts="everywhere")
    plain = deployed(net, space.largest)
    assert not any(module.training for module in plain.modules())
    images = torch.randn(1, 3, 8, 8)
    assert torch.isfinite(plain(images)).all()
    assert sum(type(m).__name__ == "Residual" for m in plain.modules()) == 7


def test_the_command(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deep" / "t.toml"
    code, said = call("abacus", "-o", file)
    assert code == 0 and "on 30 nets it has not seen" in said and "an abacus" in said
    assert [path.name for path in file.parent.iterdir()] == ["t.toml"]
    code, said = call("abacus", "-o", file, "--shortcuts", "everywhere")
    assert code == 0 and load_latency_table(file).space.shortcuts == "everywhere"
    code, said = call("abacus", "-o", tmp_path)
    assert code == 1 and "-o" in said
    code, said = call("abacus", "-o", file, "--resolution", 9)
    assert code == 2 and "resolution 9 is not in the space" in said
    code, said = call("abakus", "-o", file)
    assert code == 2 and "did you mean abacus" in said


@pytest.mark.parametrize(
    ("device", "code", "message"),
    [("stopped", 130, "interrupted"), ("backwards", 1, "clock"), ("alike", 1, "no table")],
)
def test_what_fails_leaves_nothing(
    call: Call, tmp_path: Path, device: str, code: int, message: str
) -> None:
    done, said = call(device, "-o", tmp_path / "t.toml")
    assert done == code and message in said and not [*tmp_path.iterdir()]


def test_check_says_why_and_never_imports_torch(space: Space, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(to_toml(proportional(space, 1000)))
    code = "import sys; from ofa_bench.cli.main import main; "
    code += "print(main(['latency', 'check', sys.argv[1], sys.argv[2]]), 'torch' in sys.modules)"

    def check(target: str) -> tuple[str, str]:
        line = [sys.executable, "-c", code, str(file), target]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[-1], done.stderr

    assert check("toy")[0] == "0 False"
    last, said = check("laptop-8")
    assert last == "2 False" and "measured on the space toy" in said


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName):
        api.latency("toy", device="tpu")
    with pytest.raises(UsageError, match="no space is called so, and no begun run"):
        api.latency("toys", device="torch-cpu")
    with pytest.raises(BenchError, match="rounds"):
        api.latency("toy", device="torch-cpu", rounds=1)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="onnxruntime") as caught:
        OnnxCpu(1)
    assert "ofa-bench[export]" in caught.value.hint
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA device"), open_device("cuda", 1):
            pass


def test_torch_gets_its_threads_back(space: Space) -> None:
    before = torch.get_num_threads()
    with open_device("torch-cpu", before + 1) as device:
        assert isinstance(device, TorchCpu) and torch.get_num_threads() == before + 1
        time = device.prepare(nn.Conv2d(3, 4, 3).eval(), (1, 3, 8, 8))()
    assert time > 0 and torch.get_num_threads() == before


def test_onnx_graphs_of_chains_are_what_torch_computes() -> None:
    """A net is put together of its blocks' graphs, of which equal ones are exported once."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")

    def block(inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, 4, 3, padding=1, bias=False), nn.Hardswish())

    again = block(4)
    chain = nn.Sequential(block(3), again, again).eval()
    device, images = OnnxCpu(1), torch.randn(2, 3, 6, 6)
    session = device.session(chain, (2, 3, 6, 6))
    (answer,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert torch.allclose(torch.from_numpy(answer), chain(images), atol=1e-5)
    assert len(device._graphs) == 2
    assert device.prepare(chain, (2, 3, 6, 6))() > 0


def test_devices_keep_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "held_to_it.py"
    path.write_text(DEVICES.replace('    catalogue.device("stopped", Stopped)\n', ""))
    report = check_plugin(path, trains=False)
    assert {(verdict.subject, verdict.clause) for verdict in report.broken} == {
        ("device backwards", "times are positive and finite")
    }
    assert sum(verdict.ok is True for verdict in report.verdicts) >= 9


def test_a_device_may_move_a_block(space: Space) -> None:
    """As a GPU does: the inputs of the blocks that follow do not depend on it."""
    net = api.build_supernet(space, CLASSES)
    before = {key: subject.shape for key, subject in parts(net, 8, 1)}
    moved = {}
    for key, subject in parts(net, 8, 1):
        moved[key] = subject.shape
        subject.module.to(torch.float64)
    assert moved == before
