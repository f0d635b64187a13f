"""The page says what the board says, and shows a stranger's text as text."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ofa_bench.formatting import count, percent
from ofa_bench.leaderboard.board import Board, boards
from ofa_bench.leaderboard.published import published
from ofa_bench.records.store import Store
from ofa_bench.report import page
from ofa_bench.report.charts import Palette, corners
from ofa_bench.report.fronts import fronts_chart
from ofa_bench.report.tables import embedded

from .conftest import HOSTILE, every, read, sources

ROOT = Path(__file__).parents[2]
CHARTS = ("-price-data", "-fronts-data", "-spending-data", "-curves-data", "-rates-data")


def test_leaderboard_and_pairs_are_the_boards(made: str, found: Board) -> None:
    told = read(made)
    lines = {row[1]: row for row in told.table("rank", "method")}
    for place in found.places:
        line = lines[place.row.label]
        if place.accuracy is None:
            assert line[0] == "–"
            continue
        assert line[0] == str(place.rank)
        assert f'<td class="strong" data-v="{round(place.accuracy.mean, 4)}">' in made
        assert line[4].startswith(f"{percent(place.accuracy.mean)} | {place.accuracy.low:.2f} to ")
        assert line[9] == count(place.row.mean("cost", "train_macs"))
    able = [place.row for place in found.places if place.row.good]
    pairs = told.table("", able[0].label)
    for line, row in zip(pairs, able, strict=True):
        for cell, other in zip(line[1:], able, strict=True):
            if row.id != other.id:
                pair = found.pairs[row.id, other.id]
                assert cell.startswith(f"{pair.verdict} | {pair.difference:+.2f}")
    assert {found.pairs[key].verdict for key in found.pairs} >= {"better", "undecided"}


def test_mean_height_of_a_front_is_its_mean_pareto_accuracy(made: str, found: Board) -> None:
    low, high = found.range
    lines = read(made).figure("-fronts-data")["data"]
    means = {place.row.label: place.accuracy.mean for place in found.places if place.accuracy}
    assert {line["name"] for line in lines} == set(means)
    for line in lines:
        steps = zip(pairwise(line["x"]), line["y"], strict=False)
        area = sum((min(b, high) - max(a, low)) * y for (a, b), y in steps if a < high and b > low)
        assert area / (high - low) == pytest.approx(means[line["name"]], abs=1e-3)


def test_lines_are_drawn_with_few_points() -> None:
    epochs = [index / 20 for index in range(1001)]
    rates = [0.1 * min(epoch, 1) * (1 + math.cos(math.pi * epoch / 50)) for epoch in epochs]
    kept = corners(epochs, rates)
    assert kept == sorted(set(kept)) and len(kept) < 80
    drawn = np.interp(epochs, [epochs[i] for i in kept], [rates[i] for i in kept])
    assert np.abs(drawn - rates).max() <= 0.003 * max(rates)
    noisy = [math.sin(1e5 * epoch) * epoch for epoch in epochs]
    kept = corners(epochs, noisy)
    drawn = np.interp(epochs, [epochs[i] for i in kept], [noisy[i] for i in kept])
    assert np.abs(drawn - noisy).max() <= 0.003 * np.ptp(noisy)
    assert corners(epochs[:4], [1.0, None, 3.0, 2.0]) == [0, 1, 2, 3]
    assert corners([0.0, 0.0, 1.0, 1.0], [1.0, 5.0, 5.0, 2.0]) == [0, 1, 2, 3]  # a step
    assert corners([], []) == []


def test_segments_add_up_to_the_training_macs(made: str, found: Board) -> None:
    spent: dict[str, float] = {}
    for bars in read(made).figure("-spending-data")["data"]:
        for name, macs in zip(bars["y"], bars["x"], strict=True):
            spent[name] = spent.get(name, 0) + macs
    for place in found.places:
        assert spent[place.row.label] == place.row.any.cost.train_macs
    assert set(spent) == {place.row.label for place in found.places}


def test_rates_are_those_of_the_records(made: str) -> None:
    told = read(made)
    upper, _, lower, _ = told.figure("-rates-data")["data"]
    assert (upper["name"], upper["x"], upper["y"]) == ("alpha", [0.0, 1.9], [0.1, 0.05])
    assert (lower["name"], lower["panel"], lower["y"]) == ("alpha", 1, [None, 0.5])
    assert "not in those of: gamma, delta" in told.text


def test_every_candidate_has_a_line(made: str, found: Board) -> None:
    lines = read(made).table("row", "net")
    rows = [place.row for place in found.places]
    assert len(lines) == sum(len(row.good[0].record.scores) for row in rows if row.good)
    first = rows[0].good[0].record.scores[0]
    line = next(line for line in lines if line[:2] == [rows[0].label, first.name])
    tests = [entry.record.scores[0].top1_test for entry in rows[0].good]
    assert line[5].startswith(percent(sum(tests) / len(tests)))


def test_failed_seeds_are_told(made: str) -> None:
    assert "delta: seed 0 diverged: the loss is not finite" in read(made).text


def test_same_records_same_bytes(made: str, found: Board) -> None:
    assert page([found], sources()) == made


def test_every_chart_has_traces_and_words(made: str) -> None:
    told = read(made)
    assert all(told.figure(name)["data"] for name in CHARTS)
    alts = [given["aria-label"] for _, given in told.tags if given.get("class") == "chart"]
    assert len(alts) == len(CHARTS)
    assert all("alpha" in (alt or "") for alt in alts)
    assert [tag for tag, _ in told.tags].count("figcaption") == len(CHARTS)


def test_nothing_on_the_page_asks_for_more(made: str) -> None:
    told = read(made)
    for tag, given in told.tags:
        assert "src" not in given, tag
        # A card may link to its paper: nothing is asked for until a reader follows it.
        assert tag == "a" or (given.get("href") or "#").startswith(("#", "data:,")), tag
    policy = next(g["content"] for _, g in told.tags if "http-equiv" in g)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


def test_the_page_of_all_committed_records_is_small() -> None:
    for results in ("results", "results/paper"):
        text = page(boards(Store(ROOT / results)), sources())
        assert len(text.encode()) < 1_500_000


def test_text_from_strangers_is_shown_as_text(hostile: Store) -> None:
    text = page(every(hostile), sources())
    told = read(text)
    tags = [tag for tag, _ in told.tags]
    assert "img" not in tags
    assert "\x1b" not in text
    assert not any(name.startswith("on") for _, given in told.tags for name in given)
    plain = [given for tag, given in told.tags if tag == "script" and "type" not in given]
    assert len(plain) == 2  # the charts' and the tables'
    assert "<img src=x onerror=alert(1)>" in told.text
    data = [json.loads(text) for name, text in told.scripts.items() if name.endswith("-data")]
    shown = json.dumps([each["data"] for each in data])
    assert "</script>" in shown  # as data; the browser test sees that it stays text


def test_nothing_in_embedded_json_closes_a_script() -> None:
    text = embedded({HOSTILE: "<!-- & -->"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {HOSTILE: "<!-- & -->"}


def test_cards_keep_their_markup_to_themselves(made: str) -> None:
    told = read(made)
    assert "<b>bold</b>" in told.text
    assert not {"b", "img"} & {tag for tag, _ in told.tags}
    assert told.table("a", "b") == [["1", "2"]]


def test_published_points_stand_where_a_track_could_reach_them(found: Board) -> None:
    papers = published("cifar10")
    palette = Palette(place.row.label for place in found.places)
    drawn = fronts_chart(found, papers, palette, "t0").figure["data"]
    assert not [t for t in drawn if "published" in t.get("name", "")]  # their nets cost far more
    near = papers[0].rows[0].points[0][0]
    wide = replace(found, range=(found.range[0], near))
    drawn = fronts_chart(wide, papers, palette, "t0").figure["data"]
    assert [t for t in drawn if "published" in t.get("name", "")]
