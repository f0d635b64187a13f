"""The plain policies every method can be built from, or compared with."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Plain answers to the three questions; the card is README.md."""
    catalogue.shrink("largest", "ofa_bench_basics.shrink:Largest")
    catalogue.shrink("uniform", "ofa_bench_basics.shrink:Uniform")
    catalogue.lr("constant", "ofa_bench_basics.lr:Constant")
    catalogue.lr("cosine", "ofa_bench_basics.lr:Cosine")
    catalogue.lr("step", "ofa_bench_basics.lr:Steps")
    catalogue.distill("labels", "ofa_bench_basics.distill:Labels")
    catalogue.distill("frozen", "ofa_bench_basics.distill:Frozen")
    catalogue.distill("inplace", "ofa_bench_basics.distill:Inplace")
    catalogue.extra("meter", "ofa_bench_basics.meter:Meter", affects_training=True)
    catalogue.method(
        "standalone",
        shrink="largest",
        lr="cosine",
        distill="labels",
        presets={"budget": {"reference": 180}},
        paper="one net as plain networks are trained; once-for-all, arXiv 1908.09791, section 4.1",
    )
