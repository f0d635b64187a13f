"""A run starts without what it does not use, and what replaces it is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.readers import digits
from ofa_bench.training.optimizer import without_compiler

RUN = "run --method deps --space toy --epochs 0.2 --set evaluate.per_bucket=1 --results"


def test_a_run_imports_neither_compiler_nor_image_libraries(tmp_path: Path) -> None:
    """Together they would double the time until the first step."""
    code = "import sys; from ofa_bench.cli.main import main; assert main(sys.argv[1:]) == 0; "
    code += "print(*sorted(sys.modules))"
    line = [sys.executable, "-c", code, *RUN.split(), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "torch" in loaded
    assert loaded.isdisjoint({"torch._dynamo", "torchvision", "sklearn", "scipy", "plotly"})


@pytest.mark.parametrize("moved", [False, True])
def test_the_digits_are_those_of_scikit_learn(moved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if moved:
        monkeypatch.setattr(digits, "FILE", "datasets/elsewhere/digits.csv.gz")
    table, theirs = digits._table(load_spec("digits")), load_digits()
    assert np.array_equal(table[:, :-1], theirs.data)
    assert np.array_equal(table[:, -1], theirs.target)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.RMSprop])
def test_an_optimizer_without_the_compiler_is_the_same(kind: type[torch.optim.Optimizer]) -> None:
    ends = []
    for make in (kind, without_compiler(kind)):
        first, second = (torch.nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
        optimizer = make([{"params": [first], "weight_decay": 0.1}], lr=0.1, momentum=0.9)
        for step in range(6):
            if step == 3:
                optimizer.add_param_group({"params": [second], "weight_decay": 0.0})
            if step == 4:
                state = optimizer.state_dict()
                optimizer.zero_grad()
                optimizer.load_state_dict(state)
            (first.cos().sum() + second.sin().sum()).backward()
            optimizer.step()
        ends.append(torch.stack([first.detach(), second.detach()]))
    assert torch.equal(*ends)
    assert not torch.equal(ends[0][0], torch.linspace(-1, 1, 7))
