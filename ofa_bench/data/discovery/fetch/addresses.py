"""Which addresses are downloaded from: https, and this machine's own for tests. Torch-free."""

from __future__ import annotations

from http.client import HTTPMessage
from typing import IO
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from ofa_bench.errors import DataError, UsageError
from ofa_bench.sanitize import plain_text

LOCAL = ("127.0.0.1", "::1", "localhost")
MOST_REDIRECTS = 5


def opener_for(address: str) -> OpenerDirector:
    """What opens an address: by https, or http on this machine, through the proxies of the
    environment (HTTPS_PROXY, NO_PROXY). Raises UsageError for another address."""
    local = is_local(address)
    if not local and not _is_https(address):
        raise UsageError(
            f"{shown_address(address)} is no https address", "give one that begins with https://"
        )
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
        _Redirects(local),
    ):
        opener.add_handler(handler)
    return opener


def is_local(address: str) -> bool:
    """Whether an address is http on this machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in LOCAL


def shown_address(address: str) -> str:
    """An address without what may be secret: user, password and query."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return plain_text(address)
    return plain_text(f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}")


def _is_https(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


class _Redirects(HTTPRedirectHandler):
    """Redirects to https alone; from this machine also to itself."""

    max_redirections = MOST_REDIRECTS

    def __init__(self, local: bool) -> None:
        self._local = local

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not _is_https(newurl) and not (self._local and is_local(newurl)):
            raise DataError(
                f"{shown_address(req.full_url)} leads to {shown_address(newurl)}, which is no "
                "https address",
                "nothing was taken from there; check the address, or try again later",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
