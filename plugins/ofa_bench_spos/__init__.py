"""Single path one-shot (Guo, Zhang, Mu, Heng, Liu, Wei, Sun; ECCV 2020): one path a step."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """One architecture a step, all equally likely, and a straight fall; the card is README.md."""
    catalogue.lr("linear", "ofa_bench_spos.lr:Linear")
    catalogue.method(
        "spos",
        shrink="uniform",
        lr="linear",
        distill="labels",
        presets={
            "budget": {"reference": 120},
            "shrink": {"uniform": {"sampled": 1, "measure": "archs"}},
        },
        paper="Single Path One-Shot Neural Architecture Search with Uniform Sampling, ECCV 2020, "
        "arXiv 1904.00420",
    )
