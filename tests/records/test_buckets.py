"""The best net of every row in each range of MACs, picked by one who sees select only."""

from __future__ import annotations

import json
from statistics import fmean

import pytest

from ofa_bench.evaluation.candidates import bounds
from ofa_bench.leaderboard.board import Board, boards
from ofa_bench.leaderboard.by_cost import buckets
from ofa_bench.leaderboard.published import published
from ofa_bench.records.store import Store

from .factory import CLASSES, make, space


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    store = Store(tmp_path_factory.mktemp("buckets"))
    for name, base, seeds in (("good", 80.0, 3), ("fair", 60.0, 1)):
        for seed in range(seeds):
            store.write(*make(name, seed, base))
    (made,) = boards(store)
    return made


def test_ranges_are_those_that_candidates_are_drawn_from(board: Board) -> None:
    ranges = [(item.low, item.high) for item in buckets.ranges_of(board)]
    assert ranges == bounds(space(), buckets.RANGES, CLASSES)


def test_nets_are_chosen_on_select_and_shown_on_test(board: Board) -> None:
    rows = {standing.row.label: standing.row for standing in board.places}
    shown = 0
    for item in buckets.ranges_of(board):
        for best in item.rows:
            picked = []
            for entry in rows[best.label].good:
                inside = [s for s in entry.record.scores if item.low <= s.macs <= item.high]
                top = max(score.top1_select for score in inside)
                picked.append(next(s for s in inside if s.top1_select == top).top1_test)
            assert best.accuracy.mean == pytest.approx(fmean(picked))
            assert (best.n, len(best.nets)) == (len(picked), len(picked))
            assert (best.accuracy.low is None) == (best.n == 1)
            shown += 1
    assert shown >= len(rows)


def test_published_nets_stand_where_their_macs_fall(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = published("imagenet")
    named = {"FBNetV2", "MnasNet", "ProxylessNAS", "MobileNetV3", "EfficientNet-B0"}
    assert named <= {name for paper in papers for name, _, _ in paper.reference}
    assert len(buckets.outside(board, papers)) == sum(len(paper.reference) for paper in papers)
    monkeypatch.setattr(buckets, "budget_range", lambda record: (150 * 10**6, 400 * 10**6))
    ranges = buckets.ranges_of(board, papers)
    placed = {net.name: item for item in ranges for net in item.published}
    assert named <= placed.keys()
    for item in ranges:
        assert all(item.low <= net.macs <= item.high for net in item.published)
    text = buckets.ranges_markdown(board, papers)
    assert "EfficientNet-B0 (published)" in text
    assert "published outside these ranges: OFA 67" in text
    document = json.loads(json.dumps(buckets.ranges_json(board, papers)))
    assert len(document["buckets"]) == 6
    assert document["sources"]


def test_a_data_set_without_published_nets_has_none(board: Board) -> None:
    assert not any(item.published for item in buckets.ranges_of(board, published("digits")))
    assert buckets.notes_of(board, published("digits")) == []
