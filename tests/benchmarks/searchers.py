"""Searchers at equal evaluations on a finished run, over many seeds: the table of docs/deploy.md.

    python -m tests.benchmarks.searchers RUN --results DIR --macs 700k --evaluations 64 --seeds 20

Scores are kept in the results folder, so that it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from statistics import fmean

from ofa_bench.deploy.searching.scored_nets import ScoredNets
from ofa_bench.deploy.searching.trials import proposals
from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.stats import estimate
from ofa_bench.records.searches.schema import order
from ofa_bench.runs.finished import finished_run
from ofa_bench.search.budget import amount
from ofa_bench.search.costs import counted
from ofa_bench.search.searcher import Problem
from ofa_bench.training.callbacks import Silent

Results = dict[str, list[tuple[float, float]]]


def winners(options: argparse.Namespace) -> Results:
    """Select and test accuracy of each searcher's best net, by seed."""
    run = finished_run(options.run, options.results)
    space, classes = run.assembly.trained, run.assembly.classes
    macs = counted(space, "macs", classes)
    results: Results = {name: [] for name in run.catalogue.names("searcher")}
    with ExitStack() as stack:
        scores = ScoredNets(run, space, Silent(), stack)
        stack.enter_context(scores.alone())
        for seed in range(options.seeds):
            for name in list(results):
                problem = Problem(space, macs, amount(options.macs, "macs"), classes, macs)
                entry = run.catalogue.get("searcher", name)
                try:
                    searcher = entry.load()()
                    nets = proposals(entry, searcher, [problem], options.evaluations, seed, scores)
                except UsageError as error:
                    print(f"{name}: {error.message}", flush=True)
                    del results[name]
                    continue
                hits = scores.select(nets)
                best = min(nets, key=lambda n: order(hits[n], int(macs.of(space, n)), n.to_json()))
                test = scores.test([best])[best]
                images = scores.images
                pair = 100 * hits[best] / images.select, 100 * test / images.test
                results[name].append(pair)
                print(
                    f"seed {seed} {name}: {len(nets)} nets, {pair[0]:.2f} {pair[1]:.2f}", flush=True
                )
    return results


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--results", required=True)
    parser.add_argument("--macs", default="700k")
    parser.add_argument("--evaluations", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    results = winners(options)
    print(f"\n{options.run}, {options.macs} MACs, {options.evaluations} evaluations")
    head = ("searcher", "n", "best on select, %", "over random, points", "worse", "its test, %")
    print(f"| {' | '.join(head)} |")
    print("|---|---|---|---|---|---|")
    for name, pairs in sorted(results.items(), key=lambda item: -fmean(s for s, _ in item[1])):
        gains = [ours[0] - drawn[0] for ours, drawn in zip(pairs, results["random"], strict=True)]
        gain = estimate(gains)
        spread = f" ({gain.low:+.2f} to {gain.high:+.2f})" if gain.low is not None else ""
        worse = f"{sum(value < 0 for value in gains)} of {len(gains)}"
        select, test = (fmean(pair[index] for pair in pairs) for index in (0, 1))
        cells = (name, len(pairs), f"{select:.2f}", f"{gain.mean:+.2f}{spread}", worse)
        print(f"| {' | '.join(map(str, cells))} | {test:.2f} |")


if __name__ == "__main__":
    main()
