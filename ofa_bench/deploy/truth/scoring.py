"""What finished supernets and zero-cost proxies say of nets; torch is imported to score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ofa_bench.deploy.searching.scored_nets import ScoredNets
from ofa_bench.errors import PluginError, UsageError
from ofa_bench.recipe.fingerprint import decoder_id
from ofa_bench.records.searches.schema import SplitSizes
from ofa_bench.runs.finished import FinishedRun
from ofa_bench.sanitize import plain_text
from ofa_bench.space import Subnet
from ofa_bench.training.callbacks import Progress
from ofa_bench.training.interrupts import listening

if TYPE_CHECKING:
    from ofa_bench.data.sources.source import BatchSource

COUNTED = "macs"  # the proxy that needs no network
SAME_LINE = "what was scored and trained is kept: go on with the same command"


@dataclass(frozen=True)
class SupernetScores:
    """How many images of each split each net gets right with a supernet's weights."""

    weights: str
    data: str
    images: SplitSizes
    torch: str
    select: Mapping[Subnet, int]
    test: Mapping[Subnet, int]


def supernet_scores(
    supernets: Sequence[FinishedRun], nets: Sequence[Subnet], progress: Progress
) -> list[SupernetScores]:
    """The nets' scores with each supernet's weights, as `search` keeps them. Raises Interrupted."""
    made = []
    for supernet in supernets:
        with listening() as stop, ExitStack() as stack, stop.anywhere():
            stop.hint = SAME_LINE
            scores = ScoredNets(supernet, supernet.space, progress, stack)
            stack.enter_context(scores.alone())
            name = supernet.folder.name
            scores.note = lambda count, name=name: f"scoring {count} nets in {name}"  # type: ignore[misc]
            select, test = scores.select(nets), scores.test(nets)
            known = (scores.weights, scores.data, scores.images, scores.torch)
            made.append(SupernetScores(*known, select, test))
    return made


def proxy_rankings(
    supernet: FinishedRun, nets: Sequence[Subnet], progress: Progress
) -> dict[str, tuple[float, ...]]:
    """What each proxy but MACs, which every table has, says of the nets, in their order.

    A proxy that fails is named and left out, as are all where the network is a plugin's. Raises
    UsageError where image files would become other pixels here than those the supernet was trained
    on.
    """
    from ofa_bench.evaluation.proxy_scores import proxy_scores
    from ofa_bench.leaderboard.truth.recorded import check_name

    names = [name for name in supernet.catalogue.names("proxy") if name != COUNTED]
    made: dict[str, tuple[float, ...]] = {}
    with listening() as stop, stop.anywhere(), supernet.open() as opened:
        stop.hint = SAME_LINE
        _check_decoder(supernet, opened.source)
        recipe = opened.assembly.science.net
        for name in names:
            progress.note(f"scoring {len(nets)} nets by the proxy {name}")
            try:
                check_name(name)
                scores = proxy_scores(
                    supernet.space,
                    nets,
                    [name],
                    opened.source,
                    0,
                    init=recipe.init,
                    shortcuts=recipe.shortcuts,
                    catalogue=supernet.catalogue,
                )
            except (PluginError, UsageError) as error:
                progress.note(f"the proxy {name} is left out: {error.message}")
                continue
            made[name] = tuple(scores[name][subnet] for subnet in nets)
    return made


def _check_decoder(supernet: FinishedRun, source: BatchSource) -> None:
    hashes = supernet.begun_run.begun.hashes
    trained = hashes and hashes.part("decoder")
    here = decoder_id(*source.decoder) if source.decoder else None
    if trained is not None and here is not None and trained != here:
        raise UsageError(
            f"{supernet.folder.name} was trained on images of the decoder {plain_text(trained)}, "
            f"and nets alone would be on those of {here}",
            "install that version of Pillow, or train the supernet again",
        )
