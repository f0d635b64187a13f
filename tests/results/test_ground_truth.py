"""results/ground-truth holds, and docs/truth.md says of it what its records say."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from scipy.stats import kendalltau

from ofa_bench.cli.main import main
from ofa_bench.leaderboard.truth.analysis import RankingTruth, TruthAnalysis, analyse
from ofa_bench.leaderboard.truth.recorded_runs import KnownRecords
from ofa_bench.leaderboard.truth.validate import validate_truth
from ofa_bench.records.schema import Record, own_hash
from ofa_bench.records.store import Store
from ofa_bench.records.truths.schema import TruthRecord
from ofa_bench.records.truths.store import truths

ROOT = Path(__file__).resolve().parents[2]
GROUND_TRUTH = ROOT / "results" / "ground-truth"
PATHS = sorted((GROUND_TRUTH / "truth").glob("*/*.json"))
NAMES = {"bignas": "BigNAS", "deps": "DεpS", "ofa": "OFA", "compofa": "CompOFA"}


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    return {entry.record.sha256: entry.record for entry in Store(GROUND_TRUTH).list()}


@pytest.fixture(scope="module")
def held() -> list[TruthRecord]:
    return [record for _, record in truths(GROUND_TRUTH)[0]]


@pytest.fixture(scope="module")
def computed(held: list[TruthRecord], records: dict[str, Record]) -> dict[str, TruthAnalysis[int]]:
    """By method, from the accuracies in the nets' own records and the supernet's hits."""
    made = {}
    for truth in held:
        nets = dict(enumerate(truth.nets))
        test = {index: 100 * net.test / truth.images.test for index, net in nets.items()}
        select = {index: 100 * net.select / truth.images.select for index, net in nets.items()}
        macs = {index: net.macs for index, net in nets.items()}
        proxies = {name: dict(enumerate(values)) for name, values in truth.proxies.items()}
        alone = {
            index: [records[str(run.record)].scores[0].top1_test for run in net.alone]
            for index, net in nets.items()
        }
        rankings = {"supernet": test, "select": select, "MACs": macs, **proxies}
        first = truth.version == 1
        made[truth.method] = analyse(rankings, alone, macs, ["supernet"], resampled_gap=first)
    return made


@pytest.fixture(scope="module")
def page() -> str:
    """The section of the page, in one line."""
    text = (ROOT / "docs" / "truth.md").read_text(encoding="utf-8")
    return " ".join(text.partition("## What was found here")[2].partition("\n## ")[0].split())


def ranking(analysis: TruthAnalysis[int], name: str) -> RankingTruth:
    (known,) = [one for one in analysis.rankings if one.name == name]
    return known


def spelled(value: float) -> str:
    """As the page spells a τ: -1, +0.23, -0.07."""
    return f"{value:.0f}" if abs(value) == 1 else f"{value:+.2f}"


def test_all_of_it_validates(capsys: Any) -> None:
    assert main(["validate", str(GROUND_TRUTH), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] and all(not record["unknown"] for record in answer["records"])
    assert {str(path) for path in PATHS} < {record["file"] for record in answer["records"]}
    assert main(["board", "--check", "--results", str(GROUND_TRUTH)]) == 0


def test_the_board_shows_all_of_it(capsys: Any) -> None:
    assert main(["board", "--truth", "--json", "--results", str(GROUND_TRUTH)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["unranked"] == [] and len(answer["truths"]) == len(PATHS) == 4


def test_records_are_hashed_once_for_all_truths(monkeypatch: Any, capsys: Any) -> None:
    hashed: list[str] = []

    def counted(record: Record) -> str:
        hashed.append(record.run.id)
        return own_hash(record)

    monkeypatch.setattr("ofa_bench.leaderboard.truth.recorded_runs.own_hash", counted)
    board = ["board", "--truth", "--results", str(GROUND_TRUTH)]
    for words in (["validate", *map(str, PATHS)], board):
        hashed.clear()
        assert main(words) == 0
        assert len(hashed) == len(set(hashed)) > len(PATHS), words


def test_no_random_byte_is_accepted(records: dict[str, Record], tmp_path: Path) -> None:
    rng = random.Random(4)
    known = KnownRecords.of(list(records.values()))
    for number in range(40):
        path = PATHS[number % len(PATHS)]
        folder = tmp_path / path.parent.name
        folder.mkdir(exist_ok=True)
        raw = bytearray(path.read_bytes())
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        (folder / path.name).write_bytes(raw)
        assert validate_truth(folder / path.name, known=known)


def test_a_truth_without_its_records_does_not_hold(tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(GROUND_TRUTH / "truth", tmp_path / "truth")
    assert main(["validate", str(tmp_path)]) == 1
    assert "its accuracies cannot be recomputed" in capsys.readouterr().out
    assert main(["board", "--truth", "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("not shown:") == 4 and "bignas-digits-laptop-8" in out


def test_a_truth_of_a_record_that_does_not_hold_is_not_shown(
    records: dict[str, Record], tmp_path: Path, capsys: Any
) -> None:
    """Its hash is its own, but its bits are others: the board leaves out what stands on it."""
    shutil.copytree(GROUND_TRUTH, tmp_path, dirs_exist_ok=True)
    bits = next(iter(sorted(tmp_path.glob("records/digits/standalone/*-s1-*.bits"))))
    raw = bytearray(bits.read_bytes())
    raw[5] ^= 4
    bits.write_bytes(raw)
    assert main(["board", "--truth", "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("not shown:") == 4 and "is not here, or does not hold" in out


def test_the_page_says_what_was_done(
    held: list[TruthRecord], records: dict[str, Record], page: str
) -> None:
    first = held[0]
    net = records[str(first.nets[0].alone[0].record)]
    steps = sum(phase.steps for phase in net.cost.phases)
    assert f"{steps} steps on {net.task.splits.train.count:,} images" in page
    assert f"tested on {first.images.test}" in page
    assert f"{len(first.nets)} nets trained alone with two seeds each" in page
    assert first.space == "laptop-8" and "digits in `laptop-8`" in page and len(first.seeds) == 2
    assert all(NAMES[truth.method] in page for truth in held)


def test_the_pages_ceiling_is_that_of_the_records(
    computed: dict[str, TruthAnalysis[int]],
    held: list[TruthRecord],
    records: dict[str, Record],
    page: str,
) -> None:
    (within,) = {analysis.ceiling_within for analysis in computed.values()}
    (overall,) = {analysis.ceiling for analysis in computed.values()}
    for tau, lead in ((within, "τ within ranges"), (overall, "overall")):
        assert tau is not None
        value, low, high = map(spelled, (tau.value, tau.low, tau.high))
        assert f"{lead} {value}, {low} to {high}" in page
        assert tau.low < 0 < tau.high  # no better than chance
    runs = [[records[str(run.record)] for run in net.alone] for net in held[0].nets]
    one, other = ([seeds[at].scores[0].top1_test for seeds in runs] for at in (0, 1))
    assert overall is not None
    assert overall.value == pytest.approx(kendalltau(one, other, variant="b").statistic)


def test_the_pages_taus_are_those_of_the_records(
    computed: dict[str, TruthAnalysis[int]], page: str
) -> None:
    every = [ranking(a, name) for a in computed.values() for name in ("supernet", "select")]
    taus = [one.within for one in every]
    ends = [spelled(end([tau.value for tau in taus])) for end in (min, max)]
    assert f"τ within ranges {ends[0]} to {ends[1]}" in page
    assert all((tau.low, tau.high) == (-1, 1) for tau in taus)  # open on both sides
    analysis = computed["bignas"]
    for name in ("MACs", "synflow", "zico"):
        tau = ranking(analysis, name).within
        value, low, high = map(spelled, (tau.value, tau.low, tau.high))
        assert re.search(rf"{name} \({value}, {low} to {high}[);]", page)
        assert tau.high < 0
    others = {one.name for one in analysis.rankings} - {"MACs", "synflow", "zico"}
    assert all(ranking(analysis, name).within.high > 0 for name in others)


def test_the_pages_gaps_are_those_of_the_records(
    computed: dict[str, TruthAnalysis[int]],
    held: list[TruthRecord],
    records: dict[str, Record],
    page: str,
) -> None:
    for truth in held:
        gap = ranking(computed[truth.method], "supernet").gap
        assert gap is not None
        alone = [records[str(r.record)].scores[0].top1_test for n in truth.nets for r in n.alone]
        scores = [100 * net.test / truth.images.test for net in truth.nets]
        assert gap.value == pytest.approx(fmean(scores) - fmean(alone))
        ends = sorted(abs(end) for end in (gap.low, gap.high))
        phrase = rf"{NAMES[truth.method]}'s (?:supernet are )?{abs(gap.value):.2f} (?:points )?"
        phrase += "better" if gap.value > 0 else "worse"
        phrase += rf" (?:than alone )?\({ends[0]:.2f} to {ends[1]:.2f}\)"
        assert re.search(phrase, page), phrase
        assert gap.low > 0 or gap.high < 0  # what can be told


def test_no_first_choice_loses_what_could_be_measured(
    computed: dict[str, TruthAnalysis[int]], page: str
) -> None:
    assert "first choice loses nothing that could be measured" in page
    for analysis in computed.values():
        supernet = ranking(analysis, "supernet")
        losses = (supernet.regret[1], supernet.regret_within)
        assert all(lost.low <= 0 <= lost.high for lost in losses)
