"""Device-hours as money, by dated tables in `specs/prices/`."""

from __future__ import annotations

from ofa_bench.spec_files import load_toml, specs_root


def price_of(device: str) -> float | None:
    """$ per hour of a device whose name holds one that a table knows, the newest table first."""
    for path in sorted((specs_root() / "prices").glob("*.toml"), reverse=True):
        for name, price in load_toml(path).get("devices", {}).items():
            if name.lower() in device.lower():
                return float(price)
    return None


def usd(hours: float, device: str) -> float | None:
    """What device-hours cost in $; None where no price is known."""
    price = price_of(device)
    return None if price is None else hours * price
