"""MLflow runs, in $MLFLOW_TRACKING_URI or else in a file beside the runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ofa_bench import RunView
from ofa_bench_trackers.tracker import Tracker

EXPERIMENT = "ofa-bench"
LONGEST = 250  # characters of a parameter's value that every store takes


class MLflow(Tracker):
    """One MLflow run a run; a resumed run goes on with its own. The recipe's values are params."""

    library = "mlflow"

    def begin(self, run: RunView) -> None:
        """Find the run of this name, or start it."""
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # tables made are no news
        beside = f"sqlite:///{(run.folder.parent.parent / 'mlflow.db').absolute()}"
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or beside)
        known = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        query = f"tags.ofa_bench = '{run.run_id}'"
        begun = self._client.search_runs([experiment], query, max_results=1)
        if begun:
            self._id = begun[0].info.run_id
            return
        name = run.folder.name
        made = self._client.create_run(experiment, tags={"ofa_bench": run.run_id}, run_name=name)
        self._id = made.info.run_id
        for key, value in _leaves(run.science):
            self._client.log_param(self._id, key, str(value)[:LONGEST])

    def tell(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._client.log_metric(self._id, name, value, step=step)

    def end(self) -> None:
        self._client.set_terminated(self._id)


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
