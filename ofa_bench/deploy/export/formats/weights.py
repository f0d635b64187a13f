"""`safetensors`: the weights, folded and unfolded, for the block table in model.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ofa_bench.deploy.export.exporter import Deployable
from ofa_bench.deploy.export.formats.program import counted_macs
from ofa_bench.deploy.model_folder.load import LoadedNet, load
from ofa_bench.deploy.model_folder.schema import FOLDED, LIBRARY, UNFOLDED
from ofa_bench.errors import BenchError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


class WeightsExporter:
    """Writes `folded.safetensors` and `unfolded.safetensors`, which `ofa_bench.load` reads."""

    files = (FOLDED, UNFOLDED)
    exact = True

    def require(self, model: Deployable) -> None:
        """Nothing: safetensors is there."""

    def write(self, model: Deployable, folder: Path) -> None:
        """Write both forms."""
        from safetensors.torch import save

        for name, net in ((FOLDED, model.folded), (UNFOLDED, model.unfolded)):
            state = {key: value.contiguous() for key, value in net.state_dict().items()}
            (folder / name).write_bytes(save(state, metadata={"library": LIBRARY}))

    def read(self, folder: Path) -> WeightsFile:
        """Both forms by `ofa_bench.load`, from model.json and the weights alone."""
        return WeightsFile(load(folder), load(folder, folded=False))


class WeightsFile:
    """Both forms, read back; logits are those of the folded one, and the other must agree."""

    def __init__(self, folded: LoadedNet, unfolded: LoadedNet) -> None:
        self.folded, self.unfolded = folded, unfolded
        self.difference = 0.0

    @torch.no_grad()
    def logits(self, images: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """Logits of the folded form. Raises BenchError where the unfolded one computes another
        function."""
        batch = torch.from_numpy(images)
        logits: Tensor = self.folded(batch)
        other: Tensor = self.unfolded(batch)
        apart = float((logits - other).abs().max())
        if not apart <= 1e-4 * max(1.0, float(logits.abs().max())):
            raise BenchError(f"folding the norms changes logits by {apart:.3g}", "this is a bug")
        self.difference = max(self.difference, apart)
        return logits.numpy()

    def macs(self) -> int:
        """Counted while the folded form runs on one image."""
        side = self.folded.model.input.resolution
        return counted_macs(self.folded, torch.zeros(1, 3, side, side))

    def facts(self) -> dict[str, Any]:
        """How far the two forms are apart."""
        return {"unfolded_difference": self.difference}

    def activations(self, images: NDArray[numpy.float32]) -> dict[str, NDArray[numpy.float32]]:
        """Outputs of all layers."""
        from ofa_bench.deploy.export.proof import layer_outputs

        return layer_outputs(self.folded, torch.from_numpy(images))
