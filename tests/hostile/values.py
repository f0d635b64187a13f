"""Values that no author of a file meant: drawn by seed, and as Hypothesis strategies."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st


class Raw(str):
    """Text that stands in a JSON or TOML file as it is, such as a number of 5,000 digits."""


INTEGERS = [0, -1, 1, 2, 3, 7, 255, 10_000, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, -(2**63)]
INTEGERS += [10**9, 10**12, 10**18, 10**30, 10**400]
FLOATS = [0.0, -0.0, 0.5, 1.5, -1.0, 1e-300, 5e-324, 1e15, 1e300, 1.7976931348623157e308]
WORDS = ["", " ", "largest", "toy", "digits", "deps", "sgd", "none", "null", "true", "0", "-1"]
WORDS += ["1e400", "1e400/1", "1/0", "0/0", "nan", "inf", "1/3", "9" * 400, "1 epochs", "1e9 steps"]
WORDS += ["../x", "../../canary/x", "/", ".", "..", "~", "a/b", "a\\b", "-", "--help", ".hidden"]
WORDS += ["a b", "'", '"', "`touch x`", "$(touch x)", "; touch x", "'; touch x #", "a\nb", "\r\n"]
WORDS += ["\x1b[2J", "\x1b]0;title\x07", "'\x1b[0m'", "\x9b31m", "\x7f", "\b\b", "\u202e", "\u2028"]
WORDS += ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "{{7*7}}", "{%", "</title>"]
WORDS += [
    "| a | b |",
    "[x](javascript:alert(1))",
    "![x](http://x)",
    "&amp;",
    "%s%n",
    "{0}",
    "__class__",
]
WORDS += ["é", "ß", "İ", "٣", "𝟛", "😀", "a" * 300, "a" * 70_000, "x.json", "CON", "run.json"]
WORDS += ['{"kernel": []}', "k7e4d3", "k9e9d9", "k7e4d", "best@3M", "best@1e400"]
NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1E-999",
    "9" * 4301,
    "-" + "9" * 5000,
]
NUMBERS += [
    "1" + "0" * 4299,
    "1.0000000000000000000000000000000001",
    "123456789012345678901234567890",
]
SURROGATES = ['"\\ud800"', '"\\udfff x"', '"\\u0000"', '"a\\u001b[2Jb"', '"\\ud83d"']
DEEP = [
    "[" * 900 + "]" * 900,
    "[" * 100_000,
    '{"a":' * 900 + "1" + "}" * 900,
    "[" * 40_000 + "]" * 40_000,
]
TOML = ["inf", "-inf", "nan", "1e400", "9" * 4301, "0x" + "f" * 5000, "1979-05-27", "07:32:00"]
TOML += [
    "1979-05-27T07:32:00Z",
    "[" * 900 + "]" * 900,
    "{}",
    "[]",
    "[[]]",
    "[1, 'a']",
    "0b" + "1" * 900,
]
TOML += [
    "{a = {b = {c = {}}}}",
    '"""\n' + "x" * 90_000 + '"""',
    "true",
    "false",
    "+0",
    "1_000_000_000",
]


def hostile(rng: random.Random, kind: str = "json") -> Any:
    """A value that is wrong somewhere; of `kind` "toml", nothing but what TOML can spell."""
    pools: list[list[Any]] = [INTEGERS, FLOATS, WORDS, WORDS, [True, False], [[], {}, [[]], [0]]]
    if kind == "toml":
        pools += [[Raw(text) for text in TOML]] * 2
    else:
        pools += [[Raw(text) for text in NUMBERS], [Raw(text) for text in SURROGATES]]
        pools += [[None], [Raw(rng.choice(DEEP))] if rng.random() < 0.3 else [None]]
    value = rng.choice(rng.choice(pools))
    shape = rng.random()
    if shape < 0.04:
        return [value] * rng.choice([1, 2, 25, 3000])
    if shape < 0.08:
        return {"a": value, rng.choice(WORDS[:40]): value}
    return value


def near(rng: random.Random, value: Any, kind: str = "json") -> Any:
    """A value like the one that stood there, and yet not."""
    if isinstance(value, bool) or value is None:
        return rng.choice([not value, int(bool(value)), "true", None if kind == "json" else 0])
    if isinstance(value, int):
        changes = [
            value + 1,
            value - 1,
            -value,
            value * 10,
            value * 10**6,
            value * 10**15,
            value // 2,
        ]
        real = float(value) if abs(value) < 2**1000 else 1e300
        return rng.choice([*changes, real, str(value), [value], 10**9, value * 2**40])
    if isinstance(value, float):
        return rng.choice(
            [-value, value * 1.0000001, value * 1e6, value / 1e6, 100.00000001, str(value)]
        )
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        odd = rng.choice(WORDS[:70])
        return rng.choice(
            [value[:at] + odd + value[at:], value[:at], value * 2, value.upper(), odd]
        )
    if isinstance(value, list):
        return rng.choice([[], value * 2, value[:-1], value[::-1], value * 1000, [value], {}])
    return rng.choice([{}, [value], {**value, "extra": 1}, list(value)])


def mutated(rng: random.Random, tree: Any, kind: str = "json", times: int = 0) -> Any:
    """The tree with one to four places changed; the tree itself is left alone."""
    for _ in range(times or rng.choice([1, 1, 1, 2, 4])):
        tree = _changed(rng, tree, kind)
    return tree


def _changed(rng: random.Random, tree: Any, kind: str) -> Any:
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        return _in_table(rng, tree, key, kind)
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        place = rng.randrange(len(tree))
        return [*tree[:place], _changed(rng, tree[place], kind), *tree[place + 1 :]]
    return near(rng, tree, kind) if rng.random() < 0.5 else hostile(rng, kind)


def _in_table(rng: random.Random, tree: dict[str, Any], key: str, kind: str) -> dict[str, Any]:
    way = rng.random()
    if way < 0.06:
        return {name: value for name, value in tree.items() if name != key}
    if way < 0.10:
        other = rng.choice([*WORDS[:60], key[:-1], key.upper(), key + "x"])
        return {(other if name == key else name): value for name, value in tree.items()}
    if way < 0.14:
        return {**tree, rng.choice(WORDS[:60]): hostile(rng, kind)}
    if way < 0.18:
        return {**tree, key: tree[rng.choice(list(tree))]}
    return {**tree, key: _changed(rng, tree[key], kind)}


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from([*INTEGERS, *FLOATS, *WORDS]),
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
OPTIONS = ["net.dropout", "data.select", "augment.kind", "optim.lr", "optim.batch", "optim.clip"]
OPTIONS += ["optim.norm_batch", "optim.warmup", "optim.momentum", "budget.epochs", "shrink.start"]
OPTIONS += [
    "evaluate.per_bucket",
    "evaluate.buckets",
    "evaluate.chunk",
    "evaluate.curve",
    "lr.ramp",
]
settings = st.builds(
    lambda path, value: f"{path}={value}",
    st.sampled_from(OPTIONS) | st.text(max_size=20),
    st.sampled_from(WORDS + NUMBERS + TOML[:6])
    | st.text(max_size=30)
    | st.floats()
    | st.integers(),
)
