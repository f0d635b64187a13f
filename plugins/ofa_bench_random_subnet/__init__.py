"""Random subnet sampling (Shipard, Wiliem, Fookes; CVPR Workshops 2022): random nets only."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """One random net a step from the first step to the last; the card is README.md."""
    catalogue.method(
        "random-subnet",
        shrink="uniform",
        lr="cosine",
        distill="labels",
        presets={
            "budget": {"reference": 180},
            "shrink": {"uniform": {"sampled": 1, "measure": "dims"}},
        },
        paper="Does Interference Exist When Training a Once-For-All Network?, CVPR Workshops "
        "2022, arXiv 2204.09210",
    )
