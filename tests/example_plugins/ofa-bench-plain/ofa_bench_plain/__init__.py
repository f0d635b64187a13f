"""A network of our own: residual blocks of two plain convolutions, elastic in all three axes."""

from __future__ import annotations

from pathlib import Path

from ofa_bench import Catalogue, hookimpl

ofa_bench_api = "1"


@hookimpl
def register(catalogue: Catalogue) -> None:
    """The family of the tables that say `family = "plain"`, and one such table."""
    catalogue.supernet("plain", "ofa_bench_plain.net:build", costs="ofa_bench_plain.costs:tally")
    catalogue.specs(Path(__file__).parent / "specs")
