"""AlphaNet (Wang, Gong, Li, Liu, Chandra; ICML 2021): distillation by an adaptive α-divergence."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """The sandwich with another divergence; the card is README.md."""
    catalogue.distill("alpha", "ofa_bench_alphanet.distill:Alpha")
    catalogue.method(
        "alphanet",
        shrink="sandwich",
        lr="cosine",
        distill="alpha",
        presets={
            "budget": {"reference": 360},
            "lr": {"cosine": {"warmup_from": 0.001}},
            "optim": {"warmup": "5 epochs"},
            "net": {"zero_gamma": True, "shortcuts": "everywhere"},
        },
        paper="AlphaNet: Improved Training of Supernets with Alpha-Divergence, ICML 2021, "
        "arXiv 2102.07954",
    )
