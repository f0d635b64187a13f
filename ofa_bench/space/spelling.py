"""Parsing of subnets: names, JSON text, mappings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import UsageError, nearest, suggest
from ofa_bench.space.subnet import Subnet

if TYPE_CHECKING:
    from ofa_bench.space.space import Space

_AXES = ("kernel", "expand", "depth", "resolution")
_NAME = re.compile(r"(?:(largest|smallest)|((?:[ked]\d+)+))?[-_ ]?(?:r(\d+))?")
_HOW = 'write largest, smallest, k7e4d3, or {"kernel": […], "expand": […], "depth": […]}'


def read(space: Space, spec: str | Mapping[str, Any]) -> Subnet:
    """Parse a subnet from a name, JSON text or mapping. Raises UsageError."""
    if isinstance(spec, str):
        text = spec.strip()
        return _parsed(space, text) if text.startswith(("{", "[", '"')) else _named(space, text)
    if not isinstance(spec, Mapping):
        raise UsageError(f"a subnet cannot be {spec!r}", _HOW)
    for axis in spec:
        if axis not in _AXES:
            hint = suggest(str(axis), _AXES, "the axes are")
            raise UsageError(f"a subnet has no axis {axis!r}", hint)
    depths = _depths(space, spec.get("depth"))
    kernel = _slots(space, spec.get("kernel"), "kernel", depths)
    expand = _slots(space, spec.get("expand"), "expand", depths)
    stages = [
        [(kernel[slot], expand[slot]) for slot in slots[:depth]]
        for slots, depth in zip(space.blocks, depths, strict=True)
    ]
    return space.compose(stages, _resolution(space, spec.get("resolution")))


def extreme(space: Space, end: int, resolution: int) -> Subnet:
    """The net that takes the first (0) or last (-1) choice everywhere."""
    stages = []
    for option in space.options:
        depth = option.depth[end]
        stages.append(((option.kernel[end], option.at(depth)[end]),) * depth)
    return space.compose(stages, resolution)


def uniform(space: Space) -> list[Subnet]:
    """The nets with one choice everywhere, ordered by depth, expand ratio, kernel.

    Axes that are fixed stage by stage keep what each stage has.
    """
    axes = [_common(space, axis) for axis in ("depth", "expand", "kernel")]
    nets = []
    for depth, expand, kernel in product(*axes):
        choices = {"depth": depth, "expand": expand, "kernel": kernel}
        try:
            nets.append(read(space, {axis: value for axis, value in choices.items() if value}))
        except UsageError:
            continue  # a coupled space offers only some pairs of depth and expand ratio
    return nets


def _common(space: Space, axis: str) -> tuple[int | None, ...]:
    fixed = all(len(getattr(option, axis)) == 1 for option in space.options)
    return (None,) if fixed else space.choices(axis)


def _parsed(space: Space, text: str) -> Subnet:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"a subnet's JSON is broken at character {error.pos}: {error.msg}", _HOW
        ) from error
    return read(space, content)


def _named(space: Space, name: str) -> Subnet:
    match = _NAME.fullmatch(name)
    if not name or match is None:
        guess = nearest(name, ("largest", "smallest"))
        hint = (f"did you mean {guess}? " if guess else "") + _HOW
        raise UsageError(f"no subnet is called {name!r}", hint)
    end, letters, size = match.groups()
    choices: dict[str, int] = {}
    for letter, digits in re.findall(r"([ked])(\d+)", letters or ""):
        axis = {"k": "kernel", "e": "expand", "d": "depth"}[letter]
        if axis in choices:
            raise UsageError(f"{name!r} gives {axis} twice", _HOW)
        choices[axis] = int(digits)
    if end:
        net = space.largest if end == "largest" else space.smallest
        return net.at(_resolution(space, int(size))) if size else net
    return read(space, choices | ({"resolution": int(size)} if size else {}))


def _resolution(space: Space, value: Any) -> int:
    if value is None:
        return max(space.listed)
    if type(value) is not int or value not in space.resolutions:
        raise _refusal("resolution", "", value, space.resolutions)
    return value


def _depths(space: Space, choice: Any) -> list[int]:
    """One depth per stage, from one per elastic stage (or per stage, as some peers write)."""
    elastic = [stage for stage, option in enumerate(space.options) if option.elastic]
    if choice is None:
        values: list[Any] = [_sole(option.depth, "depth") for option in space.options]
    elif isinstance(choice, Sequence) and not isinstance(choice, str):
        if len(choice) not in (len(elastic), len(space.options)):
            raise _miscounted("depth", len(choice), len(elastic), "elastic stage")
        values = list(choice)
    else:
        values = [choice] * len(elastic)
    if len(values) != len(space.options):
        values = [
            values[elastic.index(stage)] if stage in elastic else option.depth[0]
            for stage, option in enumerate(space.options)
        ]
    for stage, (option, depth) in enumerate(zip(space.options, values, strict=True), 1):
        if type(depth) is not int or depth not in option.depth:
            raise _refusal("depth", f" in stage {stage}", depth, option.depth)
    return values


def _slots(space: Space, choice: Any, axis: str, depths: list[int]) -> list[int]:
    """One value per slot; those of inactive blocks may be null or anything the table offers."""
    total = sum(map(len, space.blocks))
    if isinstance(choice, Sequence) and not isinstance(choice, str):
        if len(choice) != total:
            raise _miscounted(axis, len(choice), total, "elastic block")
        values = list(choice)
    else:
        values = [choice] * total
    for stage, (slots, depth) in enumerate(zip(space.blocks, depths, strict=True)):
        option = space.options[stage]
        offered = option.kernel if axis == "kernel" else option.at(depth)
        known: tuple[int, ...] = getattr(space.table.rows[stage], axis)
        for position, slot in enumerate(slots):
            if choice is None:
                values[slot] = _sole(offered, axis)
            elif position < depth and (
                type(values[slot]) is not int or values[slot] not in offered
            ):
                raise _refusal(axis, f" in slot {slot} (stage {stage + 1})", values[slot], offered)
            elif values[slot] is not None and values[slot] not in known:
                raise _refusal(axis, f" in slot {slot} (inactive)", values[slot], known)
    return values


def _sole(choices: tuple[int, ...], axis: str) -> int:
    if len(choices) > 1:
        raise UsageError(
            f"a subnet of this space needs a value for {axis}",
            f"choices: {', '.join(map(str, choices))}",
        )
    return choices[0]


def _refusal(axis: str, where: str, value: Any, choices: Sequence[int]) -> UsageError:
    shown = "null" if value is None else repr(value)
    if axis == "resolution" and len(choices) > 4:
        steps = f"{choices[0]} to {choices[-1]} in steps of {choices[1] - choices[0]}"
        return UsageError(f"{axis} {shown} is not in the space", f"choices: {steps}")
    listing = ", ".join(map(str, choices))
    return UsageError(f"{axis} {shown}{where} is not in the space", f"choices: {listing}")


def _miscounted(axis: str, count: int, wanted: int, unit: str) -> UsageError:
    return UsageError(
        f"{axis} has {count} values, but the space has {wanted} {unit}s",
        f"give one value per {unit}; those of inactive blocks are ignored",
    )
