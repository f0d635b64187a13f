"""AttentiveNAS (Wang, Li, Gong, Chandra; CVPR 2021): attention to the best or worst of a size."""

from __future__ import annotations

from typing import Any

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """The sandwich with its middle chosen by a probe; the card is README.md."""
    catalogue.shrink("attentive", "ofa_bench_attentivenas.shrink:Attentive")
    for name, look in (("attentivenas", "best"), ("attentivenas-worst", "worst")):
        presets: dict[str, Any] = {
            "budget": {"reference": 360},
            "shrink": {"attentive": {"look": look}},
            "lr": {"cosine": {"warmup_from": 0.001}},
            "optim": {"warmup": "5 epochs"},
            "net": {"zero_gamma": True, "shortcuts": "everywhere"},
        }
        catalogue.method(
            name,
            shrink="attentive",
            lr="cosine",
            distill="inplace",
            presets=presets,
            paper="AttentiveNAS: Improving Neural Architecture Search via Attentive Sampling, "
            "CVPR 2021, arXiv 2011.09011",
        )
