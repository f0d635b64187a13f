"""A linear prediction of accuracy that adds up over blocks, so that its optimum can be computed.

Every feature of a net is a sum over its active blocks, from coarse to fine: the block's MACs and
parameters, its kernel and expand ratio; the same per stage, with the stage's depth; one indicator
per (slot, kernel, expand ratio). Ridge regression shrinks fine features more than coarse ones, so
a few nets already order the rest by size, and details come in as nets are evaluated.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from math import log1p
from typing import TYPE_CHECKING, Any

from ofa_bench.search.costs import AdditiveCost, counted
from ofa_bench.search.predictor import MOST_JUDGED, PredictorQuality, held_out, quality
from ofa_bench.search.searcher import Problem
from ofa_bench.space.subnet import Subnet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

COARSE, STAGE, BLOCK = 3.0, 1.0, 0.5  # features are scaled to these: larger ones shrink less
PENALTIES = tuple(10 ** (power / 3) for power in range(-9, 13))


class BlockFeatures:
    """The features of a problem's blocks, and of nets as sums over blocks."""

    def __init__(self, problem: Problem) -> None:
        import numpy as np

        self.space = space = problem.space
        params = counted(space, "params", problem.classes).blocks[space.listed[0]]
        self.keys = list(params)
        self._index = {key: row for row, key in enumerate(self.keys)}
        stage_of = {slot: stage for stage, slots in enumerate(space.blocks) for slot in slots}
        shapes = np.array([(1, kernel, expand) for _, kernel, expand in self.keys], np.float64)
        sizes = np.array([log1p(params[key]) for key in self.keys])
        stages = np.zeros((len(self.keys), len(space.blocks), 3))
        for row, (slot, _, _) in enumerate(self.keys):
            stages[row, stage_of[slot]] = shapes[row]
        single = np.eye(len(self.keys))
        self.blocks, self.fixed, listed = {}, {}, len(space.listed)
        for position, size in enumerate(space.listed):
            macs = np.array([problem.macs.blocks[size][key] for key in self.keys], np.float64)
            coarse = np.column_stack((macs, np.log1p(macs), sizes, np.log(shapes[:, 2]), shapes))
            constant = np.zeros((len(self.keys), 1 + listed))
            groups = (coarse, stages.reshape(len(self.keys), -1), single, constant)
            self.blocks[size] = np.hstack(groups)
            self.fixed[size] = fixed = np.zeros(self.blocks[size].shape[1])
            fixed[0] = problem.macs.fixed[size]
            fixed[-1 - listed] = size
            fixed[position - listed] = 1
        widths = (coarse.shape[1], 3 * len(space.blocks), len(self.keys), 1, listed)
        self.scales = np.repeat((COARSE, STAGE, BLOCK, COARSE, STAGE), widths)

    def of(self, nets: Sequence[Subnet]) -> Values:
        """The features [nets, features]."""
        import numpy as np

        rows = np.empty((len(nets), len(self.scales)))
        for row, net in enumerate(nets):
            active = [self._index[slot, k, e] for _, slot, k, e in self.space.active(net)]
            rows[row] = self.fixed[net.resolution] + self.blocks[net.resolution][active].sum(0)
        return rows

    def score(self, weights: Values) -> AdditiveCost:
        """The additive score of a net whose features are weighted so."""
        return AdditiveCost(
            "score",
            "accuracy",
            {size: float(fixed @ weights) for size, fixed in self.fixed.items()},
            {
                size: dict(zip(self.keys, (blocks @ weights).tolist(), strict=True))
                for size, blocks in self.blocks.items()
            },
        )


class Surrogate:
    """Ridge regression of accuracy on block features, the penalty chosen by leave-one-out."""

    def __init__(self, features: Values, truth: Values, scales: Values) -> None:
        from sklearn.linear_model import RidgeCV

        self._mean, spread = features.mean(0), features.std(0)
        self._used = spread > 1e-9 * (1 + abs(self._mean))
        self._unit = (scales / spread.clip(1e-300))[self._used]
        self._rows = (features - self._mean)[:, self._used] * self._unit
        self._truth = truth
        self._scale = float(truth.std()) or 1.0
        model = RidgeCV(alphas=PENALTIES).fit(self._rows, (truth - truth.mean()) / self._scale)
        self._penalty, self._fitted = float(model.alpha_), model.coef_

    def _weights(self, fitted: Values) -> Values:
        import numpy as np

        weights = np.zeros(len(self._used))
        weights[self._used] = fitted * self._unit * self._scale
        return weights

    @property
    def weights(self) -> Values:
        """The weight of each feature; features that never varied have 0."""
        return self._weights(self._fitted)

    def drawn(self, rng: random.Random) -> Values:
        """Weights drawn from the posterior that the ridge is the mode of (Thompson sampling)."""
        import numpy as np

        rows = self._rows
        target = (self._truth - self._truth.mean()) / self._scale
        _, values, right = np.linalg.svd(rows, full_matrices=False)
        shrunk = values**2 / (values**2 + self._penalty)
        rest = target - rows @ self._fitted
        sigma = float(np.sqrt((rest**2).sum() / max(1.0, len(rest) - shrunk.sum())))
        normal = np.random.default_rng(rng.getrandbits(64)).standard_normal
        # Covariance σ²(XᵀX + αI)⁻¹: along the rows' directions, and σ²/α across them.
        noise = normal(rows.shape[1])
        along = right @ noise
        across = (noise - right.T @ along) / np.sqrt(self._penalty)
        noise = across + right.T @ (along / np.sqrt(values**2 + self._penalty))
        return self._weights(self._fitted + sigma * noise)

    def predicted(self, features: Values) -> Values:
        """The accuracy of each row, in the unit of what was fitted."""
        rows = (features - self._mean)[:, self._used] * self._unit
        predicted: Values = rows @ self._fitted * self._scale + self._truth.mean()
        return predicted


def fitted(features: BlockFeatures, scored: Mapping[Subnet, float]) -> Surrogate:
    """The surrogate of the nets evaluated so far."""
    import numpy as np

    truth = np.array(list(scored.values()), np.float64)
    return Surrogate(features.of(list(scored)), truth, features.scales)


def surrogate_quality(
    problem: Problem, scored: Mapping[Subnet, float], features: BlockFeatures | None = None
) -> PredictorQuality:
    """How well the surrogate orders nets that it was not fitted on, beside MACs alone.

    By cross-validation over the last MOST_JUDGED nets of `scored`, which should hold LEAST_NETS or
    more: what the bootstrap needs grows with their square.
    """
    import numpy as np

    features = features or BlockFeatures(problem)
    nets = list(scored)[-MOST_JUDGED:]
    truth = np.array([scored[net] for net in nets], np.float64)

    def fit(rows: Any, values: Any, others: Any) -> Any:
        return Surrogate(rows, values, features.scales).predicted(others)

    predicted = held_out(features.of(nets), truth, fit)
    macs = [problem.macs.of(problem.space, net) for net in nets]
    return quality(predicted, macs, truth)
