"""What a plugin's identity hangs on: its code and what that leans on, not its neighbours."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ofa_bench.recipe.fingerprint import CodeSource, source_of

FILES = {
    "__init__.py": "from ofa_bench import hookimpl\n",
    "base.py": "class Base:\n    number = 1\n",
    "near.py": "from . import deep\n\n\ndef half(x):\n    return x / deep.TWO\n",
    "deep.py": "TWO = 2\n",
    "far.py": "class Elsewhere: ...\n",
    "shrink.py": '''"""Words."""
from ofa_bench import ShrinkPolicy
from ofa_bench_probe.near import half
from .base import Base


class Shrink(Base):
    """More words."""

    def draws(self):
        return half(self.number)
''',
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "ofa_bench_probe"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith("ofa_bench_probe")]:
        del sys.modules[name]


def source(folder: Path, file: str = "", old: str = "", new: str = "") -> CodeSource:
    """The source after one change."""
    forget()
    importlib.invalidate_caches()
    if file:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
    return source_of(importlib.import_module("ofa_bench_probe.shrink").Shrink)


@pytest.mark.parametrize(
    ("file", "old", "new", "same"),
    [
        ("shrink.py", "More words.", "Other words.", True),
        ("shrink.py", "return half", "return 2 * half", False),
        ("near.py", "x / ", "x // ", False),
        ("deep.py", "2", "3", False),
        ("base.py", "1", "4", False),
        ("far.py", "...", "pass", True),
        ("__init__.py", "hookimpl", "Draw", True),
    ],
)
def test_the_hash_follows_what_the_class_leans_on(
    package: Path, file: str, old: str, new: str, same: bool
) -> None:
    before = source(package)
    assert (source(package, file, old, new).hash == before.hash) is same
    assert "def draws" in before.text
