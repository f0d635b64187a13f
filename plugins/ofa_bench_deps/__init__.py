"""DεpS (Annavajjala, Khare, Agrawal, Fedorov, Latapie, Lee, Tumanov; ECCV 2024)."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Delayed ε-shrinking; the card is README.md."""
    catalogue.shrink("delayed", "ofa_bench_deps.shrink:Delayed")
    catalogue.lr("ramped", "ofa_bench_deps.lr:Ramped")
    catalogue.extra("merge-avg", "ofa_bench_deps.merge:Average", affects_training=True)
    catalogue.extra("merge-avg-sqrt", "ofa_bench_deps.merge:RootAverage", affects_training=True)
    catalogue.method(
        "deps",
        shrink="delayed",
        lr="ramped",
        distill="inplace",
        presets={"budget": {"reference": 270}},  # DεpS, Table 2
        paper="DεpS: Delayed ε-Shrinking for Faster Once-For-All Training, ECCV 2024",
    )
