"""FairNAS (Chu, Zhang, Xu; ICCV 2021): each choice is trained as often as any other."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Strict fairness; the card is README.md."""
    catalogue.shrink("fair", "ofa_bench_fairnas.shrink:Fair")
    catalogue.method(
        "fairnas",
        shrink="fair",
        lr="cosine",
        distill="labels",
        presets={"budget": {"reference": 150}},
        paper="FairNAS: Rethinking Evaluation Fairness of Weight Sharing Neural Architecture "
        "Search, ICCV 2021, arXiv 1907.01845",
    )
