"""CompOFA (Sahni, Varshini, Khare, Tumanov; ICLR 2021): depth and width shrink together."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Compound shrinking under a frozen teacher; the card is README.md."""
    catalogue.shrink("coupled", "ofa_bench_compofa.shrink:Coupled")
    catalogue.method(
        "compofa",
        shrink="coupled",
        lr="cosine",
        distill="frozen",
        # The warm-up begins at one GPU's rate, 256 of 2,048 images (CompOFA, train_ofa_net.py).
        presets={"lr": {"cosine": {"warmup_from": 256 / 2048}}},
        paper="CompOFA: Compound Once-For-All Networks for Faster Multi-Platform Deployment, "
        "ICLR 2021, arXiv 2104.12642",
    )
