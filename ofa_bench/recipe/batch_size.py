"""Reduce a recipe's batch size for small data sets."""

from __future__ import annotations

from dataclasses import replace

from ofa_bench.recipe.load import Recipe, Request

SMALLEST = 16  # images: batch norm needs a few


def fit_batch_size(recipe: Recipe, request: Request, images: int, least_steps: int) -> Recipe:
    """Halve the batch until an epoch has `least_steps` steps or the batch is at its minimum.

    The learning rate scales with the batch. A batch size set by the user or a record is kept.
    """
    optim = recipe.science.optim
    origin = recipe.origins.get("optim.batch", "")
    if request.recorded is not None or origin.startswith("--") or origin == str(request.recipe):
        return recipe
    batch = optim.batch
    while images < least_steps * batch and batch >= 2 * SMALLEST and batch % 2 == 0:
        batch //= 2
    if batch == optim.batch:
        return recipe
    norm_batch = min(optim.norm_batch, batch)
    smaller = optim.model_copy(update={"batch": batch, "norm_batch": norm_batch})
    origin = f"fitted to {images:,} training images"
    return replace(
        recipe,
        science=recipe.science.model_copy(update={"optim": smaller}),
        origins={**recipe.origins, "optim.batch": origin},
    )
