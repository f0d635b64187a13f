"""From records to rows, ranks and the boards that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ofa_bench.errors import UnknownName
from ofa_bench.leaderboard.board import board, boards
from ofa_bench.leaderboard.board_files import check_boards, choose, write_boards
from ofa_bench.leaderboard.export import to_json, to_markdown
from ofa_bench.leaderboard.rows import labels
from ofa_bench.records.schema import Record, plain, sealed
from ofa_bench.records.store import Store
from ofa_bench.records.track import tracks

from .factory import make, science


def filled(results: Path, **bases: float) -> Store:
    """Three seeds each of methods with these base accuracies."""
    store = Store(results)
    for name, base in bases.items():
        for seed in range(3):
            record, bits = make(name, seed, base)
            store.write(record, bits)
    return store


def test_rank_is_one_plus_the_rows_that_beat_it(tmp_path: Path) -> None:
    (found,) = boards(filled(tmp_path, good=85.0, fair=60.0, alike=60.0))
    ranks = {place.row.label: place.rank for place in found.places}
    assert ranks == {"good": 1, "fair": 2, "alike": 2}
    assert all(len(place.row.good) == 3 for place in found.places)


def test_one_method_under_two_names_has_no_winner(tmp_path: Path) -> None:
    (found,) = boards(filled(tmp_path, one=70.0, other=70.0))
    assert all(pair.verdict != "better" for pair in found.pairs.values())
    assert {place.rank for place in found.places} == {1}


def test_what_is_kept_is_what_the_records_say(tmp_path: Path) -> None:
    store = filled(tmp_path, one=70.0, other=80.0)
    written = write_boards(tmp_path)
    assert {path.suffix for path in written} == {".json", ".md"}
    assert check_boards(tmp_path) == []
    entry = store.list()[0]
    entry.path.unlink()
    assert check_boards(tmp_path)
    write_boards(tmp_path)
    assert check_boards(tmp_path) == []
    board_file = next(path for path in written if path.suffix == ".md")
    board_file.write_text(board_file.read_text().replace("1", "2", 1))
    assert check_boards(tmp_path)


def test_boards_are_chosen_by_data_set_or_track(tmp_path: Path) -> None:
    every = boards(filled(tmp_path, one=70.0))
    assert choose(every, "digits") == every
    assert choose(every, every[0].track.name) == every
    with pytest.raises(UnknownName, match="digit5") as caught:
        choose(every, "digit5")
    assert "digits" in caught.value.hint


def test_text_from_strangers_is_shown_as_text(tmp_path: Path) -> None:
    """Markup and control characters in a name reach no reader, and no other folder."""
    store = Store(tmp_path)
    record, bits = make("alpha", 0, 70.0)
    told = plain(record)
    told["method"]["name"] = "../../\x1b[31mred<script>"
    path = store.write(sealed(told), bits)
    assert tmp_path / "records" in path.parents
    (found,) = [board(track, entries) for track, entries in tracks(store.list()).items()]
    text = to_markdown(found)
    assert "\x1b" not in text
    assert "<script>" not in text
    assert to_json(found)["rows"]


def test_rows_of_one_method_are_named_by_what_they_differ_in() -> None:
    def row(**changes: Any) -> Record:
        return make("alpha", science=science("alpha"), **changes)[0]

    plain = row()
    method = plain.method
    quick = method.lr.model_copy(update={"options": {"draws": 4}})
    other = method.lr.model_copy(update={"name": "step", "options": {"every": 2}})
    told = {
        "plain": plain,
        "quick": plain.model_copy(update={"method": method.model_copy(update={"lr": quick})}),
        "other": plain.model_copy(update={"method": method.model_copy(update={"lr": other})}),
        "twin": plain,
        "alone": make("beta")[0],
    }
    assert labels(told) == {
        "plain": "alpha (cosine, cosine.draws 2) (plain)",
        "quick": "alpha (cosine, cosine.draws 4)",
        "other": "alpha (step)",
        "twin": "alpha (cosine, cosine.draws 2) (twin)",
        "alone": "beta",
    }


def test_two_seeds_give_no_rank_and_no_impossible_interval(tmp_path: Path) -> None:
    """The texts of a board with few seeds; its JSON keeps rank and interval as computed."""
    store = Store(tmp_path)
    for name, values in (("high", (96.0, 99.0)), ("wide", (20.0, 80.0)), ("sure", (50.0,) * 3)):
        for seed, value in enumerate(values):
            store.write(*make(name, seed, value))
    (made,) = boards(store)
    document = {row["label"]: row for row in to_json(made)["rows"]}
    assert document["high"]["provisional"] and document["high"]["rank"] is not None
    assert document["high"]["mean_pareto_accuracy"]["high"] > 100
    text = to_markdown(made)
    assert "to 100.00)" in text and "n = 2: too wide to tell" in text
    assert "* n = 2: order not told (high, wide)." in text
    assert "can go unseen" not in text and "show any difference" in text
    rows = [line[2:].split(" | ") for line in text.splitlines() if line.count("|") > 12]
    ranks = {row[1]: row[0] for row in rows}
    assert ranks["high"] == ranks["wide"] == "–" and ranks["sure"] == "1"
