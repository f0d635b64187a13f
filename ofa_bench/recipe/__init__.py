"""From flags and files to one frozen run configuration; each value records its origin."""

from ofa_bench.recipe.batch_size import fit_batch_size
from ofa_bench.recipe.load import Recipe, Request, is_set, load_recipe
from ofa_bench.recipe.models import Choice, Execution, Science
from ofa_bench.recipe.recorded import recorded_recipe

__all__ = [
    "Choice",
    "Execution",
    "Recipe",
    "Request",
    "Science",
    "fit_batch_size",
    "is_set",
    "load_recipe",
    "recorded_recipe",
]
