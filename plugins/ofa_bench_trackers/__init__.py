"""Trackers: what a run tells TensorBoard or MLflow; chosen with `--with NAME`."""

from __future__ import annotations

from ofa_bench import Catalogue, hookimpl


@hookimpl
def register(catalogue: Catalogue) -> None:
    """Both only watch: a run is the same run with and without them."""
    catalogue.extra("tensorboard", "ofa_bench_trackers.tensorboard:TensorBoard")
    catalogue.extra("mlflow", "ofa_bench_trackers.mlflow:MLflow")
