"""JSON of strangers read within bounds, their texts made safe to show, and the one spelling of a
record's file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ofa_bench.errors import UsageError
from ofa_bench.sanitize import plain_text

M = TypeVar("M", bound=BaseModel)
DEEPEST = 24  # a record's own nesting is under ten
LARGEST_NUMBER = 1e30  # training MACs of a century on all GPUs there are
LONGEST_KEY = 300


def parsed(model: type[M], raw: bytes) -> M:
    """The file that these bytes spell. Raises ValueError: on a wrong field pydantic's, see
    `first_fault`; on what no real file holds, nesting, numbers and texts that only serve to break a
    reader, one that says so. RecursionError on brackets without end."""
    values = json.loads(raw, parse_constant=_no_constant)
    check_bounds(values)
    return model.model_validate(values)


def parsed_file(model: type[M], raw: bytes, source: str, whole: str, kind: str) -> M:
    """As `parsed`, of a file of this kind; UsageError names the source and the field."""
    try:
        return parsed(model, raw)
    except ValidationError as error:
        reason = first_fault(error, whole)
    except (ValueError, RecursionError) as error:
        reason = f"is no JSON of {kind}: {plain_text(str(error))}"
    raise UsageError(f"{plain_text(source)}: {reason}", "the file was changed or cut off")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def first_fault(error: ValidationError, whole: str) -> str:
    """The first wrong field, or the `whole`, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or whole
    return f"{plain_text(field)}: {plain_text(first['msg'])}"


def check_bounds(value: Any, depth: int = 0) -> None:
    """Raise ValueError on JSON that no run could have written."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested over {DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for key in value:
            if len(key) > LONGEST_KEY:
                raise ValueError(f"a key has over {LONGEST_KEY} characters")
            _check_text(key)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            if type(inner) in (float, int):  # most of a record; a call for each would take its time
                _check_number(inner)
            elif type(inner) is not str or not inner.isascii():
                check_bounds(inner, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int | float):
        _check_number(value)


def _check_number(value: float) -> None:
    if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
        raise ValueError(f"it holds a number beyond {LARGEST_NUMBER:.0e}")


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("a text holds half a character (a lone surrogate)") from None


def hash_without_itself(values: Mapping[str, Any]) -> str:
    """Hex SHA-256 over the canonical JSON of a file's fields, all but `sha256`."""
    return digest({name: value for name, value in values.items() if name != "sha256"})


def digest(value: Any) -> str:
    """Hex SHA-256 over the canonical JSON of a value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON with one spelling: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are Markdown; a head with ">" is over numbers."""
    rule = ["---:" if head.startswith(">") else "---" for head in heads]
    names = [head.removeprefix(">") for head in heads]
    return [f"| {' | '.join(row)} |" for row in (names, rule, *rows)]


def cell(text: object) -> str:
    """A Markdown table cell that shows the text and nothing else."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&~:])", r"\\\1", plain_text(text))


def spell(value: Any) -> str:
    """JSON as files hold it: sorted keys, two levels unfolded, one list item a line."""
    return _unfold(value, 0) + "\n"


def _unfold(value: Any, depth: int) -> str:
    pad, end = " " * (depth + 1), " " * depth
    if isinstance(value, dict) and value and depth < 3:
        rows = [f"{pad}{_flat(str(k))}: {_unfold(v, depth + 1)}" for k, v in sorted(value.items())]
        return "{\n" + ",\n".join(rows) + f"\n{end}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict) and depth < 3:
        rows = [pad + _flat(item) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{end}]"
    return _flat(value)


def _flat(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
