"""BigNAS (Yu et al.; ECCV 2020), as published and as the DεpS repository has it for a baseline."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl

PAPER = (
    "BigNAS: Scaling Up Neural Architecture Search with Big Single-Stage Models, "
    "ECCV 2020, arXiv 2003.11142"
)
EPOCHS = {"reference": 400}  # DεpS, Table 2


@hookimpl
def register(catalogue: Catalogue) -> None:
    """The sandwich rule with in-place distillation; the card is README.md."""
    catalogue.shrink("sandwich", "ofa_bench_bignas.shrink:Sandwich")
    catalogue.lr("exponential", "ofa_bench_bignas.lr:Exponential")
    catalogue.method(
        "bignas",
        shrink="sandwich",
        lr="exponential",
        distill="inplace",
        # BigNAS, section 3: every block begins as an identity, so every block has a shortcut.
        presets={"budget": EPOCHS, "net": {"zero_gamma": True, "shortcuts": "everywhere"}},
        paper=PAPER,
    )
    catalogue.method(
        "bignas-port",
        shrink="sandwich",
        lr="exponential",
        distill="inplace",
        presets={"budget": EPOCHS, "lr": {"exponential": {"per_epoch": True}}},
        paper=f"{PAPER}; as the baseline of Delayed ε-Shrinking, ECCV 2024",
    )
