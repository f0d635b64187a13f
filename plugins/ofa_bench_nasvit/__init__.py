"""NASViT's training against gradient conflicts (Gong et al.; ICLR 2022), as an extra."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """For any method that trains the largest net beside others: `--with nasvit`."""
    catalogue.extra("nasvit", "ofa_bench_nasvit.merge:Yielding", affects_training=True)
