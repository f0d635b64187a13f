"""Boards over latency: a synthetic table on the committed records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ofa_bench import api
from ofa_bench.cli.main import main
from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.board import boards_of
from ofa_bench.leaderboard.cost_axis import LatencyAxis
from ofa_bench.leaderboard.export import to_json, to_markdown
from ofa_bench.leaderboard.screening import Screened, held
from ofa_bench.records.store import Store
from ofa_bench.search.latency_table import to_toml
from ofa_bench.space import load_space
from tests.latency_tables import PER_MAC, proportional

ROOT = Path(__file__).resolve().parents[2] / "results"
CLASSES = 10


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed records of CIFAR-10."""
    results = tmp_path_factory.mktemp("latency") / "results"
    shutil.copytree(ROOT / "records" / "cifar10", results / "records" / "cifar10")
    return results


@pytest.fixture(scope="module")
def screened(records: Path) -> Screened:
    return held(Store(records), context=api.record_checks(candidates=False))


@pytest.fixture(scope="module")
def axis() -> LatencyAxis:
    """A nanosecond a MAC, whatever the shortcuts: latency then orders nets as MACs do."""
    space = load_space("laptop-32")
    kinds = ("identity", "everywhere")
    return LatencyAxis([proportional(space, CLASSES, kind) for kind in kinds])


def test_a_latency_that_is_macs_gives_the_board_of_macs(
    screened: Screened, axis: LatencyAxis
) -> None:
    (timed,) = boards_of(screened, axis=axis)
    (counted,) = (b for b in boards_of(screened) if b.track.id == timed.track.id)
    ms = [axis.value(steps) for steps in timed.range]
    assert ms == pytest.approx([macs * PER_MAC for macs in counted.range], abs=1e-7)
    for one, other in zip(timed.places, counted.places, strict=True):
        assert one.row.id == other.row.id and one.rank == other.rank
        assert one.accuracy is not None and other.accuracy is not None
        assert one.accuracy.mean == pytest.approx(other.accuracy.mean, abs=1e-3)
        assert one.row.own_range().mean == pytest.approx(other.row.own_range().mean, abs=1e-3)
    values = to_json(timed)
    assert values["axis"]["unit"] == "ms" and "axis" not in to_json(counted)
    assert " ms (latency is in ms a batch" in to_markdown(timed)


def test_slow_and_good_nets_cost_their_time(screened: Screened) -> None:
    """Where one block alone takes time, nets are ordered by it."""
    space = load_space("laptop-32")
    tables = []
    for kind in ("identity", "everywhere"):
        table = proportional(space, CLASSES, kind)
        (part,) = table.parts
        blocks = tuple(b.model_copy(update={"ms": 1e-6 * b.expand**3}) for b in part.blocks)
        tables.append(
            table.model_copy(update={"parts": (part.model_copy(update={"blocks": blocks}),)})
        )
    axis = LatencyAxis(tables)
    (board,) = boards_of(screened, axis=axis)
    entry = board.places[0].row.good[0]
    cost = tables[0].cost()
    for score, costed in zip(entry.record.scores, axis.scores(entry.record), strict=True):
        wanted = cost.of(space, space.subnet(score.subnet))
        assert axis.value(costed.macs) == pytest.approx(wanted, abs=1e-8)
        assert costed.top1_test == score.top1_test


def test_tables_of_two_machines_do_not_go_together() -> None:
    table = proportional(load_space("laptop-32"), CLASSES)
    with pytest.raises(UsageError, match="do not go together"):
        LatencyAxis([table, table.model_copy(update={"threads": 2})])


def test_the_command(
    records: Path, axis: LatencyAxis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> tuple[int, str]:
        code = main([*words, "--results", str(records)])
        said = capsys.readouterr()
        return code, said.out + said.err

    files = []
    for number, table in enumerate(axis.tables):
        files += ["--table", str(tmp_path / f"{number}.toml")]
        (tmp_path / f"{number}.toml").write_text(to_toml(table))
    foreign = tmp_path / "foreign.toml"
    foreign.write_text(to_toml(proportional(load_space("toy"), CLASSES)))
    latency = ("--cost", "latency")
    code, said = call("board", "cifar10", *latency, *files)
    space = load_space("laptop-32")
    low, high = (space.macs(net, CLASSES) * PER_MAC for net in (space.smallest, space.largest))
    assert code == 0 and f"budgets {low:.4g} to {high:.4g} ms; latency is in ms" in said
    assert "laptop-32-proxyless" in said, "the track that the tables do not fit is named"
    code, said = call("report", "cifar10", *latency, *files, "-o", str(tmp_path / "page.html"))
    assert code == 0 and "ms of the deployed net" in (tmp_path / "page.html").read_text()
    code, said = call("board", "cifar10", *latency, *files[:2])
    assert code == 2 and "shortcuts: identity, not everywhere" in said
    code, said = call("board", "cifar10", *latency, "--table", str(foreign))
    assert code == 2 and "measured on the space toy" in said
    code, said = call("board", "cifar10", *latency)
    assert code == 2 and "--table FILE" in said
    code, said = call("board", "cifar10", *files)
    assert code == 2 and "--cost latency" in said
    code, said = call("board", *latency, *files, "--check")
    assert code == 2 and "over MACs" in said
