"""Names of repositories on a hub of the Hugging Face kind, and its refusals as sentences.

Everything goes through huggingface_hub, which keeps tokens and the cache, and reads `HF_ENDPOINT`,
`HF_HOME` and `HF_HUB_OFFLINE`. No token is read or shown here.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.sanitize import plain_text

PREFIX = "hf:"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
HERE = "name it hf:USER/NAME"
LOG_IN = "log in with: hf auth login"


def repository_of(name: str | Path) -> str:
    """USER/NAME of hf:USER/NAME; UsageError for anything else."""
    text = str(name).removeprefix(PREFIX)
    if not str(name).startswith(PREFIX) or not NAME.fullmatch(text) or ".." in text:
        raise UsageError(f"{plain_text(name)!r} names no repository of a hub", HERE)
    return text


def unreachable() -> tuple[type[Exception], ...]:
    """What the library raises where there is no connection, or none is allowed: the base class of
    its HTTP client's errors, whichever client the release has, and OSError."""
    from huggingface_hub.errors import HfHubHTTPError

    clients = [base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)]
    return (OSError, *clients)


def refuse_local(error: Exception) -> None:
    """BenchError where it is this machine's disk that refuses, and not the hub."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
        raise BenchError(
            f"a file cannot be read or written: {getattr(error, 'strerror', error)}",
            "free some space, or set HF_HOME to a folder that you may write",
        ) from error


@contextmanager
def in_sentences(repository: str, revision: str | None = None) -> Iterator[None]:
    """A hub's refusals as sentences; its own texts may hold addresses with secrets, so are not
    shown."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise BenchError(
            "no token of the hub is kept here", "log in with: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise UsageError(
            f"{repository} has no revision {plain_text(revision or 'main')!r}", "check the name"
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"there is no {repository}, or it is not for you",
            f"check the name; for a private one, {LOG_IN}",
        ) from error
    except HfHubHTTPError as error:
        code = getattr(error.response, "status_code", None)
        hint = (
            "log in with: hf auth login, with a token that may write"
            if code in (401, 403)
            else ("try again later")
        )
        raise BenchError(f"the hub refused {repository} (status {code})", hint) from error
