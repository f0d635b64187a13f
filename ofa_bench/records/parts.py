"""Parts of a record that tell where a run was and what it cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**18)]
Macs = Annotated[int, Field(ge=0, le=10**30)]
Units = Annotated[int, Field(ge=0, le=10**6)]  # cores, threads, GPUs, pixels of a side, classes
Positive = Annotated[int, Field(ge=1, le=10**6)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Epochs = Annotated[float, Field(ge=0, le=1e9)]
Start = Annotated[str, Field(pattern=r"^(init|teacher|adopted)$")]


class Part(BaseModel):
    """A piece of a record: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Identity(Part):
    """What `row_id` was hashed from, beside the science and the data set's hash.

    `code` names each part that acts with the hash of its source, as it was hashed; `files` has the
    hashes of weights that the run began from or learned from; `numerics` is the version of the
    engine's arithmetic. See `ofa_bench.records.validation.identity.recomputed`.
    """

    code: tuple[str, ...]
    files: dict[Start, Hash] = {}
    numerics: str


class Adoption(Part):
    """Where the weights of an imported run come from: a file of another trainer.

    `layout` is how the file names its tensors; `norm_eps` the batch-norm epsilon that the network
    was built with, and `norm_eps_source` who said so: the option, or a checkpoint known by name.
    """

    file: str = Field(max_length=255)
    sha256: Hash
    weights_set: str = Field(default="", max_length=200)
    layout: Literal["once-for-all", "ofa-bench"]
    norm_eps: float = Field(gt=0, le=1)
    norm_eps_source: str = Field(max_length=200)


class Ancestor(Part):
    """The subnet of a finished run that a run began from, and what the supernet had cost before.

    `top1_select` and `top1_test` are the subnet's without retraining; costs are None where the
    supernet was trained elsewhere.
    """

    run: str = Field(max_length=200)
    record_sha256: Hash | None = None
    subnet: dict[str, Any]
    name: str = Field(max_length=1000)
    top1_select: Percent
    top1_test: Percent
    train_macs: Macs | None = None
    device_seconds: Seconds | None = None
    usd: float | None = Field(default=None, ge=0, le=1e12)


class Machine(Part):
    """Where it ran and which choices were made there that could change bits."""

    device: str
    cpu: str
    gpu: str | None = None
    gpus: Units = 0
    cores: Positive
    threads: Positive
    memory_format: str
    allocator: str
    torch: str
    python: str
    platform: str
    details: dict[str, Any] = {}

    @property
    def model(self) -> str:
        """The device's model, as price tables name it."""
        return self.gpu or self.cpu


class PhaseCost(Part):
    """One phase's ledger row. `passes` and `macs` by role; `macs` are training MACs: three times
    the forward ones for trained passes, once for teacher and probe. `energy_joules` is in early
    records only, without a value."""

    name: str
    epochs: Epochs
    steps: Count
    images: Count
    passes: dict[str, Count]
    macs: dict[str, Macs]
    device_seconds: Seconds
    wall_seconds: Seconds
    waiting_share: Share
    peak_bytes: Count
    energy_joules: float | None = None


class Rates(Part):
    """Learning rates of a run at steps spread over it, one item per step: the largest net's, and
    the least `lr_share` among the nets that train beside it (DεpS's ε); None where it is alone."""

    steps: tuple[Count, ...] = Field(min_length=1, max_length=10_000)
    epochs: tuple[Epochs, ...]
    lr: tuple[Annotated[float, Field(ge=0)], ...]
    shares: tuple[Annotated[float, Field(ge=0)] | None, ...]

    @model_validator(mode="after")
    def _of_one_length(self) -> Rates:
        if len({len(self.steps), len(self.epochs), len(self.lr), len(self.shares)}) > 1:
            raise ValueError("steps, epochs, lr and shares must have the same length")
        return self


class Beside(Part):
    """Time that is not training; downloads and compilation are in early records only, as 0."""

    evaluation_seconds: Seconds = 0.0
    download_seconds: Seconds = 0.0
    compile_seconds: Seconds = 0.0


class Cost(Part):
    """All that a user pays for; the totals are sums (peak: the maximum) over the phases."""

    phases: tuple[PhaseCost, ...] = Field(max_length=1000)
    device_seconds: Seconds
    wall_seconds: Seconds
    train_macs: Macs
    subnet_passes: Count
    images: Count
    peak_bytes: Count
    usd: float | None = Field(default=None, ge=0, le=1e12)
    waiting_share: Share
    beside: Beside = Beside()


class DecoderRecord(Part):
    """What turned image files into pixels: a library, its version, the JPEG library inside it."""

    name: str = Field(max_length=50)
    version: str = Field(max_length=50)
    jpeg: str = Field(max_length=50)
