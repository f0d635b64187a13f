"""One corpus for all processes of a test run, and one server for all tests of a process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from tests.hostile.campaign import Server
from tests.hostile.corpus import Corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Where it lies; the first server makes it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Corpus(shared / "hostile-corpus")


@pytest.fixture(scope="session")
def server(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    box = tmp_path_factory.mktemp("hostile") / "box"
    with corpus.root.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        started = Server(corpus.root, box)
    yield started
    started.close()
