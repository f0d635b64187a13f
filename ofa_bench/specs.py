"""Where the tables are, and how they are read: `specs/` in a working copy, `_specs` in a wheel."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ofa_bench.errors import RecipeError


@cache
def specs_root() -> Path:
    """The folder of shipped tables.

    A working copy's own `specs/` wins over the packaged copy, which an editable build leaves stale.
    """
    package = Path(str(files("ofa_bench")))
    beside = package.parent / "specs"
    return beside if (beside / "defaults.toml").is_file() else package / "_specs"


def load_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict; RecipeError names the file and the line of a mistake."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        hint = "mind the folder that the path starts from"
        raise RecipeError("there is no such file", file=str(path), hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        hint = "give a text file, in UTF-8, that may be read"
        raise RecipeError(f"cannot be read ({error})", file=str(path), hint=hint) from error
    except tomllib.TOMLDecodeError as error:
        hint = "mend that line; text values stand in quotes"
        raise RecipeError(f"is not valid TOML: {error}", file=str(path), hint=hint) from error
