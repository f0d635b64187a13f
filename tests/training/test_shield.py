"""What a process had switched on in torch changes neither weights nor scores, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api

TINY: dict[str, Any] = {"method": "bignas", "dataset": "digits", "space": "toy", "epochs": 0.2}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}
PROBE = """
import torch
from pathlib import Path
from ofa_bench import hookimpl

class Probe:
    @hookimpl
    def after_step(self, step, outcome):
        flags = (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic)
        Path(__file__).with_suffix(".flags").write_text(repr(flags))

@hookimpl
def register(catalogue):
    catalogue.extra("probe", Probe)
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    return api.run(**TINY, results=tmp_path_factory.mktemp("plain"))


def switched(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Any:
    @contextmanager
    def on() -> Iterator[None]:
        before = read()
        write(value)
        try:
            yield
            assert read() == value, "it did not come back"
        finally:
            write(before)

    return on


def attribute(owner: Any, name: str, value: Any) -> Any:
    return switched(lambda: getattr(owner, name), lambda new: setattr(owner, name, new), value)


AMBIENT: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "float64": switched(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "device": switched(torch.get_default_device, torch.set_default_device, torch.device("meta")),
    "device context": lambda: torch.device("meta"),
    "medium": switched(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "deterministic": switched(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "cudnn benchmark": attribute(torch.backends.cudnn, "benchmark", True),
    "no mkldnn": lambda: torch.backends.mkldnn.flags(enabled=False),
}


@pytest.mark.parametrize("name", AMBIENT)
def test_ambient_state_changes_nothing(name: str, plain: Any, tmp_path: Path) -> None:
    with AMBIENT[name]():
        record = api.run(**TINY, results=tmp_path)
    assert record.run_id == plain.run_id
    assert record.weights_sha256 == plain.weights_sha256
    assert record.scores == plain.scores
    torch.set_default_device(None)


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
def test_deterministic_is_what_it_says(asked: bool, plain: Any, tmp_path: Path) -> None:
    """The switches are on while it trains, the record says so, and they are off afterwards."""
    plugin = tmp_path / "probe.py"
    plugin.write_text(PROBE)
    extra = {"plugins": (str(plugin),), "extras": ("probe",)}
    record = api.run(**TINY, **extra, deterministic=asked, results=tmp_path / "results")
    assert plugin.with_suffix(".flags").read_text() == repr((asked, asked))
    assert record.machine.details.get("deterministic", False) is asked
    assert record.execution["deterministic"] is asked
    assert record.weights_sha256 == plain.weights_sha256  # the CPU's kernels repeat anyhow
    assert not torch.are_deterministic_algorithms_enabled()
