"""`safetensors`: the weights, folded and unfolded, for the block table in model.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ofa_bench.deploy.export.exporter import Deployable, Floats
from ofa_bench.deploy.export.formats.program import TorchFile
from ofa_bench.deploy.model_folder.load import LoadedNet, load
from ofa_bench.deploy.model_folder.schema import FOLDED, LIBRARY, UNFOLDED
from ofa_bench.errors import BenchError


class WeightsExporter:
    """Writes `folded.safetensors` and `unfolded.safetensors`, which `ofa_bench.load` reads."""

    files = (FOLDED, UNFOLDED)
    exact = True

    def require(self, model: Deployable) -> None:
        """Nothing: safetensors is there."""

    def write(self, model: Deployable, folder: Path) -> None:
        from safetensors.torch import save

        for name, net in ((FOLDED, model.folded), (UNFOLDED, model.unfolded)):
            state = {key: value.contiguous() for key, value in net.state_dict().items()}
            (folder / name).write_bytes(save(state, metadata={"library": LIBRARY}))

    def read(self, folder: Path) -> WeightsFile:
        """Both forms by `ofa_bench.load`, from model.json and the weights alone."""
        return WeightsFile(load(folder), load(folder, folded=False))


class WeightsFile(TorchFile):
    """Both forms, read back; logits are those of the folded one, and the other must agree."""

    def __init__(self, folded: LoadedNet, unfolded: LoadedNet) -> None:
        super().__init__(folded, (3, *(folded.model.input.resolution,) * 2))
        self.unfolded = TorchFile(unfolded, self.shape)
        self.difference = 0.0

    def logits(self, images: Floats) -> Floats:
        """Logits of the folded form. Raises BenchError where the unfolded one computes another
        function."""
        logits = super().logits(images)
        apart = float(abs(logits - self.unfolded.logits(images)).max())
        if not apart <= 1e-4 * max(1.0, float(abs(logits).max())):
            raise BenchError(f"folding the norms changes logits by {apart:.3g}", "this is a bug")
        self.difference = max(self.difference, apart)
        return logits

    def facts(self) -> dict[str, Any]:
        return {"unfolded_difference": self.difference}

    def activations(self, images: Floats) -> dict[str, Floats]:
        from ofa_bench.deploy.export.proof import layer_outputs

        return layer_outputs(self.net, torch.from_numpy(images))
