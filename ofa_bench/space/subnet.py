"""One subnet in canonical form: equal networks are equal values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ofa_bench.seeding import digest


@dataclass(frozen=True, slots=True)
class Subnet:
    """Kernel and expand ratio per block slot, depth per elastic stage, input resolution.

    Canonical: the slots of inactive blocks are None, so ==, hash and JSON agree exactly where the
    networks do. Created by a Space, which knows which slots are active.
    """

    kernel: tuple[int | None, ...]
    expand: tuple[int | None, ...]
    depth: tuple[int, ...]
    resolution: int

    def at(self, resolution: int) -> Subnet:
        """The same architecture at another input resolution."""
        return replace(self, resolution=resolution)

    def to_json(self) -> dict[str, object]:
        """Plain lists, as `Space.subnet` reads them back."""
        return {
            "kernel": list(self.kernel),
            "expand": list(self.expand),
            "depth": list(self.depth),
            "resolution": self.resolution,
        }

    def __str__(self) -> str:
        """`k7e4d3r224` for a uniform net; otherwise the depths and six digits of a digest."""
        axes = (set(self.kernel) - {None}, set(self.expand) - {None}, set(self.depth))
        if all(len(values) == 1 for values in axes):
            kernel, expand, depth = (values.pop() for values in axes)
            return f"k{kernel}e{expand}d{depth}r{self.resolution}"
        depths = "".join(map(str, self.depth))
        return f"d{depths}-{digest(self.kernel, self.expand)[:6]}-r{self.resolution}"
