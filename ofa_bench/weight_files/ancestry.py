"""What a run began from, as its initial weights say: a subnet of a finished run. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path

from ofa_bench.limits import limit
from ofa_bench.recipe.starts import split_set
from ofa_bench.records.json_text import check_bounds
from ofa_bench.records.parts import Ancestor
from ofa_bench.records.schema import canonical
from ofa_bench.sanitize import storable

LONGEST = 2**16  # bytes of its JSON
KEY = "ancestor"  # in the header of the safetensors file


def ancestor_of(init: str | None) -> Ancestor | None:
    """The ancestor that a weights file names in its header; None for any other file, and for one
    that names what no record may hold."""
    if init is None:
        return None
    path, _ = split_set(init)
    try:
        values = storable(json.loads(_header(path).get(KEY, "")))
        check_bounds(values)
        if len(canonical(values)) > LONGEST:
            return None
        return Ancestor.model_validate(values)
    except (OSError, ValueError, RecursionError, AttributeError, TypeError):
        return None


def _header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; ValueError where there is none within the limit."""
    if not path.is_file():
        raise ValueError("no file")
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > limit("weights-header-bytes"):
            raise ValueError("no header")
        metadata: dict[str, str] = json.loads(stream.read(size)).get("__metadata__", {})
    return metadata
