"""Shipped TOML tables, located and parsed: `specs/` in a working copy, `_specs` in a wheel."""

from __future__ import annotations

import re
import stat
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ofa_bench.errors import RecipeError
from ofa_bench.limits import advice, limit
from ofa_bench.strict import DEEPEST, strange

STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'")
LONG_KEY = re.compile(rf"(?:[\w-]{{1,99}}[ \t]*\.[ \t]*){{{DEEPEST}}}")


@cache
def specs_root() -> Path:
    """The folder of shipped tables.

    In a working copy `specs/` takes precedence over the packaged copy, which may be stale.
    """
    package = Path(str(files("ofa_bench")))
    beside = package.parent / "specs"
    return beside if (beside / "defaults.toml").is_file() else package / "_specs"


def load_toml(path: Path, bound: str = "toml-bytes") -> dict[str, Any]:
    """Parse a TOML file of at most the limit `bound`.

    Raises RecipeError naming the file and the line or key.
    """
    try:
        text = _text(path, bound)
        values = parse_toml(text)
    except FileNotFoundError as error:
        hint = "mind the folder that the path starts from"
        raise RecipeError("there is no such file", file=str(path), hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        hint = "give a text file, in UTF-8, that may be read"
        raise RecipeError(f"cannot be read ({error})", file=str(path), hint=hint) from error
    except tomllib.TOMLDecodeError as error:
        hint = "fix that line; strings must be quoted"
        raise RecipeError(f"is not valid TOML: {error}", file=str(path), hint=hint) from error
    for key, reason in strange(values):
        raise RecipeError(reason, file=str(path), key=key, hint="write a valid value")
    return values


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML; every error is a tomllib.TOMLDecodeError.

    Long dotted keys are refused, since tomllib takes quadratic time for them; its other exceptions
    on overlong numbers and deep nesting are converted.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") >= DEEPEST and LONG_KEY.search(STRING.sub("s", line)):
            raise tomllib.TOMLDecodeError(f"a key of too many parts (at line {number})")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("brackets are nested too deeply") from error
    except ValueError as error:
        raise tomllib.TOMLDecodeError(str(error).partition(";")[0]) from error


def _text(path: Path, bound: str) -> str:
    """A regular file's text; RecipeError if it is larger than the limit `bound`."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError("it is no regular file")
    if about.st_size > limit(bound):
        raise RecipeError(f"is {about.st_size:,} bytes long", file=str(path), hint=advice(bound))
    return path.read_text(encoding="utf-8-sig")
