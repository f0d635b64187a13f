"""Traceback frames that lie in a plugin's code, for error messages."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path

OURS = str(Path(__file__).resolve().parents[1])
STANDARD = str(Path(sysconfig.get_paths()["stdlib"]).resolve())
LIBRARIES = ("pluggy", "pydantic", "pydantic_core", "torch", "numpy", "click")


def author_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Frames of an exception and its causes that lie outside the project's code."""
    frames: list[traceback.FrameSummary] = []
    seen: BaseException | None = error
    while seen is not None:
        frames = [f for f in traceback.extract_tb(seen.__traceback__) if _is_theirs(f)] or frames
        seen = seen.__cause__ or seen.__context__
    return frames


def _is_theirs(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    if not path.is_absolute():
        return not frame.filename.startswith("<frozen")  # a notebook's cell has no path
    whole = str(path.resolve())
    installed = "site-packages" in path.parts
    if installed and path.parts[path.parts.index("site-packages") + 1] in LIBRARIES:
        return False
    standard = whole.startswith(f"{STANDARD}/") and not installed
    return not standard and not whole.startswith(f"{OURS}/")


def holder(error: BaseException, plugins: Mapping[str, object]) -> str:
    """The name of the plugin in whose method an exception was raised; "" if none."""
    trace = error.__traceback__
    while trace is not None:
        receiver = trace.tb_frame.f_locals.get("self")
        for name, plugin in plugins.items():
            if receiver is plugin:
                return name
        trace = trace.tb_next
    return ""


def source_line(error: BaseException) -> str:
    """The innermost plugin line as "file.py:12 in shrink_draws"; "" if there is none."""
    frames = author_frames(error)
    if not frames:
        return ""
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}"


def author_traceback(error: BaseException) -> str:
    """The plugin's frames, formatted as a traceback."""
    return "".join(traceback.format_list(author_frames(error))).rstrip()
