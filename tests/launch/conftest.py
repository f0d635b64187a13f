"""Commands in this process, and one Slurm for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import bench as bench
from tests.launch.cluster import Cluster, Unavailable


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        made = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    except (Unavailable, OSError) as error:
        pytest.skip(f"no Slurm here: {str(error).splitlines()[0]}")
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "slurm.toml"
    path.write_text('launcher = "slurm"\ngpus = 0\nat_once = 2\npartition = "test"\n')
    return path
