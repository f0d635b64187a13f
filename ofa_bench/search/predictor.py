"""How well a prediction orders nets: Kendall's τ-b with an interval, beside MACs and the ceiling.

Functions of plain arrays. A prediction is judged on nets that it was not fitted on, always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]
    Fit = Callable[[Values, Values, Values], Values]

FOLDS = 10
LEAST_NETS, MOST_JUDGED = 12, 2000
"""With fewer nets nothing is said of a prediction."""


@dataclass(frozen=True)
class PredictorQuality:
    """Rank correlations with true accuracy, -1 to 1, over `nets` nets that no fit has seen.

    `low` to `high` is the 95 % bootstrap interval of `tau`; `gain_low` to `gain_high` that of
    `tau` - `tau_macs_alone` on the same nets.
    """

    nets: int
    tau: float
    low: float
    high: float
    tau_macs_alone: float
    gain_low: float
    gain_high: float

    @property
    def beats_macs(self) -> bool:
        """Whether the prediction orders these nets better than their MACs do."""
        return self.tau > self.tau_macs_alone

    def __str__(self) -> str:
        verdict = "better than" if self.beats_macs else "no better than"
        return (
            f"held-out τ {self.tau:.2f} ({self.low:.2f} to {self.high:.2f}, {self.nets} nets), "
            f"{verdict} MACs alone ({self.tau_macs_alone:.2f})"
        )


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's τ-b of two equally long lists; 0 where one of them is constant."""
    import numpy as np
    from scipy.stats import kendalltau

    tau = float(kendalltau(np.asarray(first), np.asarray(second), variant="b").statistic)
    return tau if np.isfinite(tau) else 0.0


def resampled_kendall(first: ArrayLike, second: ArrayLike, weights: ArrayLike) -> Values:
    """τ-b of each resample: `weights` [resamples, nets] says how often each net is drawn.

    A net drawn twice is tied with itself, as τ-b on the written-out resample has it.
    """
    import numpy as np

    drawn = np.asarray(weights, np.float64)
    signs = [np.sign(np.subtract.outer(v, v)) for v in (np.asarray(first), np.asarray(second))]

    def total(pairs: Any) -> Any:
        return ((drawn @ pairs) * drawn).sum(axis=1)

    untied = total(np.abs(signs[0])) * total(np.abs(signs[1]))
    return np.asarray(
        np.divide(
            total(signs[0] * signs[1]), np.sqrt(untied), out=np.zeros(len(drawn)), where=untied > 0
        )
    )


def held_out(features: ArrayLike, truth: ArrayLike, fit: Fit, seed: int = 0) -> Values:
    """Cross-validated predictions [nets], in FOLDS: each by a fit that has not seen the net.

    `fit(features, truth, others)` returns predictions for the rows of `others`.
    """
    import numpy as np
    from sklearn.model_selection import KFold

    rows, values = np.asarray(features, np.float64), np.asarray(truth, np.float64)
    predicted = np.empty(len(values))
    folds = KFold(min(FOLDS, len(values)), shuffle=True, random_state=seed)
    for seen, unseen in folds.split(rows):
        predicted[unseen] = fit(rows[seen], values[seen], rows[unseen])
    return predicted


def quality(
    predicted: ArrayLike, macs: ArrayLike, truth: ArrayLike, resamples: int = 1000, seed: int = 0
) -> PredictorQuality:
    """τ of held-out predictions and of MACs with the truth, with bootstrap intervals over nets."""
    import numpy as np

    nets = len(np.asarray(truth))
    draws = np.random.default_rng(seed).multinomial(nets, np.full(nets, 1 / nets), resamples)
    taus, alone = (resampled_kendall(order, truth, draws) for order in (predicted, macs))
    low, high = np.quantile(taus, (0.025, 0.975))
    gain_low, gain_high = np.quantile(taus - alone, (0.025, 0.975))
    return PredictorQuality(
        nets,
        kendall(predicted, truth),
        float(low),
        float(high),
        kendall(macs, truth),
        float(gain_low),
        float(gain_high),
    )
