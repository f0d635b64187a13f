"""One corpus and one server for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.campaign import Server
from tests.hostile.corpus import Corpus


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("hostile")
    started = Server(root / "corpus", root / "box")
    yield started
    started.close()


@pytest.fixture(scope="session")
def corpus(server: Server) -> Corpus:
    return Corpus(Path(server.box).parent / "corpus")
