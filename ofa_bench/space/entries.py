"""Values of a space's TOML file, checked by pydantic; every error names the file and the key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from ofa_bench.errors import RecipeError, suggest
from ofa_bench.strict import shown

MOST_STAGES = 64


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


STRICT = ConfigDict(extra="forbid")
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
WRONG = {
    "missing": "is missing",
    **dict.fromkeys(UNKNOWN, "unknown key"),
    **dict.fromkeys(("model_type", "dataclass_type"), "is {value}, not a table"),
    "int_type": "is {value}, not a whole number",
    "float_type": "is {value}, not a number",
    "bool_type": "is {value}, not true or false",
    "string_type": "is {value}, not a text",
    "string_pattern_mismatch": "is {value}, not a text",
    "literal_error": "is {value}",
    "greater_than": "is {value}, but must be positive",
    "finite_number": "is {value}, but must be positive",
    "greater_than_equal": "is {value}, but must be at least {ge}",
    "less_than_equal": "is {number:,}, but at most {le:,g} has a use",
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
        first = min(errors, key=lambda e: (e["type"] not in UNKNOWN, e["type"] == "missing"))
        names = [part for part in first["loc"] if isinstance(part, str)]
        reason = first["msg"]
        if first["type"] in WRONG:
            context = {"value": shown(first["input"]), "number": first["input"]}
            reason = WRONG[first["type"]].format(**context, **first.get("ctx", {}))
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
    if kind not in UNKNOWN:
        return ""
    for name in names[:-1]:
        model = model.model_fields[name].annotation
    fields = getattr(model, "model_fields", None) or model.__dataclass_fields__
    known = [getattr(field, "alias", None) or name for name, field in fields.items()]
    return suggest(names[-1], known, "known keys")
