"""Once-for-all (Cai, Gan, Wang, Zhang, Han; ICLR 2020): progressive shrinking."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Progressive shrinking under a frozen teacher; the card is README.md."""
    catalogue.shrink("progressive", "ofa_bench_ofa.shrink:Progressive")
    catalogue.method(
        "ofa",
        shrink="progressive",
        lr="cosine",
        distill="frozen",
        # A warm-up begins at the rate of one of 32 GPUs (once-for-all, train_ofa_net.py).
        presets={"lr": {"cosine": {"warmup_from": 1 / 32}}},
        paper="Once-for-All: Train One Network and Specialize it for Efficient Deployment, "
        "ICLR 2020, arXiv 1908.09791",
    )
