"""Supernets are ranked together, and beside nets alone, where their images are the same pixels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ofa_bench.data.discovery.decoder import Decoder
from ofa_bench.deploy.truth.pipeline import _check_track
from ofa_bench.deploy.truth.scoring import _check_decoder
from ofa_bench.errors import UsageError
from ofa_bench.recipe.fingerprint import decoder_id
from ofa_bench.runs.folder import Hashes
from ofa_bench.space import load_space

TOY = load_space("toy")
OLD, NEW = (Decoder("pillow", version, "libjpeg-turbo 3.1") for version in ("9.5.0", "12.0.0"))


def supernet(name: str, space: Any = TOY, data: str = "a", **fields: Any) -> Any:
    """As much of a finished run as is compared."""
    begun = SimpleNamespace(hashes=Hashes(data=data, **fields))
    return SimpleNamespace(
        folder=Path("runs") / name,
        results=Path("results"),
        space=space,
        begun_run=SimpleNamespace(begun=begun),
    )


def code(decoder: Decoder) -> tuple[str, ...]:
    return ("network:1", f"decoder:{decoder_id(*decoder)}")


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("another space", {"space": load_space("laptop-8")}),
        ("other images", {"data": "b"}),
        ("other images", {"splits": {"select": "other"}}),
        ("another image decoder", {"code": code(OLD)}),
    ],
)
def test_supernets_of_other_tracks_are_refused(what: str, other: dict[str, Any]) -> None:
    first = supernet("one", code=code(NEW))
    _check_track(first, supernet("two", code=code(NEW)))
    with pytest.raises(UsageError, match=f"two has {what} than one"):
        _check_track(first, supernet("two", **{"code": code(NEW), **other}))


def test_nets_alone_are_not_trained_on_other_pixels_than_their_supernet() -> None:
    """Another major version of the decoder may give other pixels; minor ones do not, and a run
    that decoded nothing is not asked."""
    old = supernet("one", code=code(OLD))
    _check_decoder(old, SimpleNamespace(decoder=OLD._replace(version="9.1.0")))
    _check_decoder(old, SimpleNamespace(decoder=None))
    _check_decoder(supernet("two"), SimpleNamespace(decoder=NEW))
    with pytest.raises(UsageError, match=r"images of the decoder pillow 9.*those of pillow 12"):
        _check_decoder(old, SimpleNamespace(decoder=NEW))
