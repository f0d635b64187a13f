"""Gradient surgery (Yu et al.; NeurIPS 2020), among the nets of a step as NASViT has it."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """An extra for any method: `--with pcgrad`."""
    catalogue.extra("pcgrad", "ofa_bench_pcgrad.merge:Projection", affects_training=True)
