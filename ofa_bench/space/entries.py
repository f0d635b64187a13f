"""The TOML file of a space as pydantic models; every error names the file and the key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from ofa_bench.errors import RecipeError, suggest
from ofa_bench.strict import shown

MOST_STAGES = 64
MOST_SIZES = 256  # resolutions


def _distinct(values: tuple[int, ...]) -> tuple[int, ...]:
    """A stage's choices, sorted."""
    if len(set(values)) != len(values):
        context = {"value": shown(list(values))}
        raise PydanticCustomError("choices", "is {value}, which says a choice twice", context)
    return tuple(sorted(values))


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise PydanticCustomError("even", "holds {kernel}, but kernels are odd", {"kernel": kernel})
    return kernel


T = TypeVar("T")
Act = Literal["relu", "relu6", "h_swish"]
Text = Annotated[str, Field(strict=True, pattern=r"\S")]
Flag = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(strict=True, gt=0, le=64, allow_inf_nan=False)]
Width = Annotated[int, Field(strict=True, ge=1, le=2**16)]
Stride = Annotated[int, Field(strict=True, ge=1, le=16)]
Side = Annotated[int, Field(strict=True, ge=1, le=4096)]
Few = Annotated[int, Field(strict=True, ge=1, le=64)]
Kernel = Annotated[int, Field(strict=True, ge=1, le=31), AfterValidator(_odd)]
Listed = Annotated[tuple[T, ...], Field(min_length=1, max_length=MOST_STAGES)]
Choices = Annotated[Listed[T], AfterValidator(_distinct)]


class Entries(BaseModel):
    """A table of the file: no unknown keys."""

    model_config = ConfigDict(extra="forbid")


class StemEntries(Entries):
    """`[stem]`."""

    width: Width
    stride: Stride
    act: Act


class FirstEntries(StemEntries):
    """`[first]`."""

    shortcut: Flag


class StageEntries(Entries):
    """`[stages]`: columns of one entry for each stage; a single entry applies to all."""

    width: Listed[Width]
    stride: tuple[Stride, ...]
    act: tuple[Act, ...]
    se: tuple[Flag, ...]
    depth: tuple[Choices[Few], ...]
    expand: tuple[Choices[Few], ...]
    kernel: tuple[Choices[Kernel], ...]

    @field_validator("stride", "act", "se", "depth", "expand", "kernel", mode="before")
    @classmethod
    def _for_each_stage(cls, value: Any, info: ValidationInfo) -> Any:
        stages = len(info.data.get("width", ()))
        column = isinstance(value, list)
        if column and info.field_name in ("depth", "expand", "kernel"):
            column = any(isinstance(entry, list) for entry in value)
        if not column:
            return [value] * stages
        if len(value) != stages:
            context = {"entries": len(value), "stages": stages}
            raise PydanticCustomError(
                "columns", "has {entries} entries for {stages} stages", context
            )
        return value


class HeadEntries(Entries):
    """`[head]`."""

    final: Width
    mix: Annotated[int, Field(strict=True, ge=0, le=2**16)]
    act: Act


class SizeEntries(Entries):
    """`resolution = {from = …, to = …, step = …, listed = […]}`."""

    low: Side = Field(alias="from")
    high: Side = Field(alias="to")
    step: Side
    listed: Choices[Side]


class SpaceFile(Entries):
    """A whole file, laid over its base."""

    width_mult: Number = 1.0
    stem: StemEntries
    first: FirstEntries
    head: HeadEntries
    resolution: Any
    family: Text
    summary: Text
    source: Text
    stages: StageEntries
    norm_eps: Number
    transforms: Flag


WRONG = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "model_type": "is {value}, not a table",
    "int_type": "is {value}, not a whole number",
    "float_type": "is {value}, not a number",
    "bool_type": "is {value}, not true or false",
    "string_type": "is {value}, not a text",
    "string_pattern_mismatch": "is {value}, not a text",
    "literal_error": "is {value}",
    "greater_than": "is {value}, but must be positive",
    "finite_number": "is {value}, but must be positive",
    "greater_than_equal": "is {value}, but must be at least {ge}",
    "less_than_equal": "is {value}, but at most {le:,g} has a use",
    "tuple_type": "is {value}, not a list of one or more whole numbers",
    "too_short": "is {value}, not a list of one or more whole numbers",
    "too_long": "has {actual_length:,} entries, over {max_length}",
}
"""What is said of a value, by pydantic's name of the error."""


def checked(kind: Any, value: Any, file: str, key: str = "") -> Any:
    """A value of a file as an instance of a model or annotated type. Raises RecipeError."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        names = [part for part in first["loc"] if isinstance(part, str)]
        reason = first["msg"]
        if first["type"] in WRONG:
            context = first.get("ctx", {})
            reason = WRONG[first["type"]].format(value=shown(first["input"]), **context)
        raise RecipeError(
            reason,
            file=file,
            key=".".join(filter(None, (key, *names))),
            hint=_hint(kind, first["type"], names, first["input"]),
        ) from error


def _hint(model: Any, kind: str, names: list[str], value: Any) -> str:
    if kind == "columns":
        return "stages.width says how many stages there are"
    if kind == "literal_error":
        return suggest(str(value), get_args(Act))
    if kind != "extra_forbidden":
        return ""
    for name in names[:-1]:
        model = model.model_fields[name].annotation
    known = [field.alias or name for name, field in model.model_fields.items()]
    return suggest(names[-1], known, "known keys")
