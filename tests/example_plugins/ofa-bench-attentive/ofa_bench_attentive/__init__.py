"""AttentiveNAS (Wang et al.; CVPR 2021): attention to the best or the worst nets of a size."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl

PAPER = (
    "AttentiveNAS: Improving Neural Architecture Search via Attentive Sampling, CVPR 2021, "
    "arXiv 2011.09011"
)


@hookimpl
def register(catalogue: Catalogue) -> None:
    """The best up and the worst up rules, in a sandwich with in-place distillation."""
    catalogue.shrink("attentive", "ofa_bench_attentive.shrink:Attentive")
    for name, look in (("attentive-best", "best"), ("attentive-worst", "worst")):
        catalogue.method(
            name,
            shrink="attentive",
            lr="cosine",
            distill="inplace",
            presets={"budget": {"reference": 360}, "shrink": {"attentive": {"look": look}}},
            paper=PAPER,
        )
