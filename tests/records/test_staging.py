"""Many writers at once: no folder of one is removed by another before it is locked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ofa_bench.records.staging import FOLDER, Staging

WRITERS, FILES = 6, 60


def test_writers_do_not_remove_each_others_folders(tmp_path: Path) -> None:
    def store(writer: int) -> None:
        for number in range(FILES):
            with Staging(tmp_path) as staging:
                staging.write(Path("records") / str(writer) / f"{number}.json", b"{}")
                staging.commit()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(store, range(WRITERS)))
    assert len(list((tmp_path / "records").glob("*/*.json"))) == WRITERS * FILES
    assert not (tmp_path / FOLDER).exists()
