"""What a run began from, as its initial weights say: a subnet of a finished run. Torch-free."""

from __future__ import annotations

import json

from ofa_bench.limits import limit
from ofa_bench.recipe.initial_weights import split_set
from ofa_bench.records.json_text import check_bounds
from ofa_bench.records.parts import Ancestor
from ofa_bench.records.schema import canonical
from ofa_bench.sanitize import storable

LONGEST = 2**16  # bytes of its JSON
KEY = "ancestor"  # in the header of the safetensors file


def ancestor_of(init: str | None) -> Ancestor | None:
    """The ancestor that a weights file names in its header; None for any other file, and for one
    that names what no record may hold."""
    path = split_set(init)[0] if init is not None else None
    if path is None or not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = stream.read(size) if size <= limit("weights-header-bytes") else b""
        values = storable(json.loads(json.loads(header)["__metadata__"][KEY]))
        check_bounds(values)
        if len(canonical(values)) > LONGEST:
            return None
        return Ancestor.model_validate(values)
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return None
