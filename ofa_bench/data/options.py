"""What a recipe's [augment] table may say. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ofa_bench.errors import RecipeError


class Augment(BaseModel):
    """The training augmentation, the same for all methods of a track."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["none", "crop", "resized-crop"] = "none"
    padding: int = Field(0, ge=0, le=64)
    flip: bool = False
    jitter: Literal["none", "tf", "torch"] = "none"
    autoaugment: bool = False
    erasing: float = Field(0.0, ge=0, le=1)

    @classmethod
    def of(cls, options: Augment | BaseModel | Mapping[str, object]) -> Augment:
        """Options from a recipe's table or model; RecipeError names the key."""
        if isinstance(options, cls):
            return options
        values = options.model_dump() if isinstance(options, BaseModel) else dict(options)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(["augment", *map(str, first["loc"])])
            raise RecipeError(first["msg"], key=key, hint=f"allowed: {cls._legend()}") from error

    @classmethod
    def _legend(cls) -> str:
        return ", ".join(cls.model_fields)

    @property
    def geometric(self) -> bool:
        """Whether a crop and a flip are all there is, so that it can be done as one gather."""
        plain = self.jitter == "none" and not self.autoaugment and not self.erasing
        return plain and self.kind != "resized-crop"

    @property
    def border(self) -> int:
        """Pixels of reflected border that a crop may reach into."""
        return self.padding if self.kind == "crop" else 0

    def geometry(self) -> Augment:
        """The crop and the flip without anything that changes colours (calibration's transform)."""
        return Augment(kind=self.kind, padding=self.padding, flip=self.flip)
