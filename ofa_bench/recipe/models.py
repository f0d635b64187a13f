"""Pydantic models of training configuration (`Science`) and runtime configuration (`Execution`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ofa_bench.schedule import Duration
from ofa_bench.strict import ratio


class RecipeTable(BaseModel):
    """A recipe table: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _ratio(value: Any) -> Any:
    return ratio(value) if isinstance(value, str) and "/" in value else value


LONGEST_RUN = 100_000  # epochs; no schedule of ours is a thousandth of it
Ratio = Annotated[float, BeforeValidator(_ratio), Field(gt=0, le=LONGEST_RUN)]
Number = Annotated[float, BeforeValidator(_ratio), PlainSerializer(float), Field(ge=0, le=1e6)]
Images = Annotated[int, Field(gt=0, le=2**20)]  # of a batch, or of a part of one


class Net(RecipeTable):
    """Network options that are not part of the space.

    `norm_eps` replaces the batch-norm epsilon of the space's table, for weights that were trained
    with another; a record leaves it out where it is not set.
    """

    init: Literal["torch", "fan_in", "fan_out"] = "torch"
    zero_gamma: bool = False
    shortcuts: Literal["identity", "everywhere"] = "identity"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    norm_eps: float | None = Field(default=None, gt=0, le=1)

    @model_serializer(mode="wrap")
    def _where_set(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        if self.norm_eps is None:
            values.pop("norm_eps", None)
        return values


class Data(RecipeTable):
    """`select`: training images held out for choices; a count, or a share of the training set."""

    select: int | float = Field(default=0.1, ge=0, le=1e9)


class Augment(RecipeTable):
    """Training augmentation, the same for every method of a track.

    `interpolation` is AutoAugment's, for its rotations and shears; crops and resizes are always
    bilinear and antialiased. "nearest" is what runs had before the option existed: a record leaves
    it out, as it leaves the option out where AutoAugment is off.
    """

    kind: Literal["none", "crop", "resized-crop"] = "none"
    padding: int = Field(default=4, ge=0, le=64)
    flip: bool = True
    jitter: Literal["none", "tf", "torch"] = "none"
    autoaugment: bool = False
    erasing: float = Field(default=0.0, ge=0, le=1)
    interpolation: Literal["nearest", "bilinear"] = "bilinear"

    @model_serializer(mode="wrap")
    def _where_it_acts(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        if not self.autoaugment or self.interpolation == "nearest":
            values.pop("interpolation", None)
        return values

    @classmethod
    def of(cls, options: Augment | Mapping[str, Any]) -> Augment:
        """Build from a table or model; RecipeError names the key."""
        if isinstance(options, Augment):
            return options
        from ofa_bench.recipe.load import validated

        return validated(cls, options, "augment", {})

    @property
    def geometric(self) -> bool:
        """Whether only crop and flip are used, so that one gather implements it."""
        plain = self.jitter == "none" and not self.autoaugment and not self.erasing
        return plain and self.kind != "resized-crop"

    @property
    def border(self) -> int:
        """Pixels of reflected border that a crop may reach into."""
        return self.padding if self.kind == "crop" else 0

    def geometry(self) -> Augment:
        """The crop and the flip without anything that changes colours (calibration's transform)."""
        return Augment(kind=self.kind, padding=self.padding, flip=self.flip)


class Optim(RecipeTable):
    """The optimizer. `lr` holds at batch `lr_batch` and scales linearly with `batch`."""

    name: Literal["sgd", "rmsprop"] = "sgd"
    lr: Number = Field(default=0.1, gt=0)
    lr_batch: Images = 64
    batch: Images = 64
    norm_batch: Images = 32
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(default=0.0, ge=0, le=1e6)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    warmup: Duration = Duration(0.0)
    reference_momentum: bool = False
    rms_alpha: float = Field(default=0.9, gt=0, lt=1)
    rms_eps: float = Field(default=0.0316228, gt=0, le=1e6)
    clip: float | None = Field(default=None, gt=0, le=1e6)

    @model_validator(mode="before")
    @classmethod
    def _root_of_a_thousandth(cls, values: Any) -> Any:
        """The DepS code's ten digits of √0.001. Where RMSProp is off, the value that all records
        have and nothing reads stays as they have it."""
        if isinstance(values, Mapping) and values.get("name") == "rmsprop":
            return {"rms_eps": 0.0316227766, **values}
        return values

    @model_validator(mode="after")
    def _whole_parts(self) -> Optim:
        if self.batch % self.norm_batch:
            raise ValueError(f"norm_batch {self.norm_batch} does not divide batch {self.batch}")
        return self

    @property
    def base_lr(self) -> float:
        """The rate at this batch."""
        return self.lr * self.batch / self.lr_batch


class BudgetTable(RecipeTable):
    """Run length. `reference`: the method's published epochs; `factor`: this data set's fraction of
    them; `published`: that fraction in the papers, if they train on it."""

    rule: Literal["paper", "epochs", "matched"] = "paper"
    reference: Ratio | None = None
    factor: Ratio = 1.0
    published: Ratio = 1.0
    scale: Ratio = 1.0
    epochs: Ratio | None = None


class Evaluate(RecipeTable):
    """Candidates per bucket, images per chunk, points of the training curve."""

    per_bucket: int = Field(default=16, ge=1, le=1000)
    buckets: int = Field(default=6, ge=1, le=64)
    chunk: int = Field(default=250, ge=1, le=2**20)
    curve: int = Field(default=10, ge=0, le=1000)


class Choice(RecipeTable):
    """A policy by name, with its resolved options."""

    name: str
    options: dict[str, Any] = {}


class Science(RecipeTable):
    """Everything but the seed that can change a result; hashed into the row id."""

    dataset: str
    space: str
    method: str
    shrink: Choice
    lr: Choice
    distill: Choice
    extras: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    net: Net = Net()
    data: Data = Data()
    augment: Augment = Augment()
    optim: Optim = Optim()
    budget: BudgetTable = BudgetTable()
    evaluate: Evaluate = Evaluate()

    @property
    def composition(self) -> str:
        """The three policies, as `sandwich+cosine+labels`."""
        return f"{self.shrink.name}+{self.lr.name}+{self.distill.name}"


class Execution(RecipeTable):
    """Runtime configuration; no part of the run's identity.

    `workers`: processes that load images; None leaves it to the machine, see
    `hardware.usual_workers`. A checkpoint is saved every `checkpoint_steps` if set, else every
    `checkpoint_seconds`; `keep`: whether checkpoints at phase ends are kept, too.
    """

    device: str = "auto"
    workers: int | None = Field(default=None, ge=0, le=256)
    data_dir: str | None = None
    results: str = "results"
    deterministic: bool = False
    checkpoint_seconds: float = Field(default=5.0, ge=0, le=1e6)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    keep: Literal["newest", "phase"] = "newest"
    init: str | None = None
    init_head: Literal["file", "fresh"] = "file"
    teacher: str | None = None

    @model_validator(mode="after")
    def _head_of_something(self) -> Execution:
        if self.init_head == "fresh" and self.init is None:
            raise ValueError("--init-head fresh needs --init FILE")
        return self
