"""A step on several devices, on paper: measured compute, one flat all-reduce, the input's rate."""

from __future__ import annotations

from typing import Any

from ofa_bench.cli import console
from ofa_bench.formatting import count, duration, money
from ofa_bench.planning.assemble import Assembly
from ofa_bench.records.prices import usd
from ofa_bench.runs.recorded_throughput import Speed
from ofa_bench.spec_files import load_toml, specs_root

GRADIENT_BYTES = 4  # a parameter's gradient is a float32


def foretold(assembly: Assembly, speed: Speed, devices: int) -> list[dict[str, Any]]:
    """Mean step of a run on `devices` devices, by how they are joined; none without a speed.

    Ranks share a step's micro-batches whole; a ring moves 2 (n-1)/n of the gradient once a step;
    images are fetched while devices compute, by one machine for all of them.
    """
    schedule = assembly.schedule
    macs = sum(cost.total for cost in assembly.cost)
    whole = speed.seconds(macs)
    if whole is None:
        return []
    parts = len(schedule.cuts(0))
    alone = whole / schedule.steps
    compute = alone * -(-parts // devices) / parts
    moved = GRADIENT_BYTES * assembly.space.params(assembly.space.largest, assembly.classes)
    feed = schedule.batch / speed.input_rate if speed.input_rate else 0.0
    rows = []
    for link in load_toml(specs_root() / "links" / "effective.toml")["link"]:
        reduce = 2 * (devices - 1) / devices * moved / float(link["bytes_per_second"])
        step = max(compute + reduce, feed)
        rows.append(
            {
                "devices": devices,
                "link": str(link["name"]),
                "micro_batches": parts,
                "compute_seconds": compute,
                "all_reduce_bytes": moved,
                "all_reduce_seconds": reduce,
                "input_seconds": feed if speed.input_rate else None,
                "step_seconds": step,
                "images_per_second": schedule.batch / step,
                "efficiency": alone / (devices * step),
                "wall_seconds": step * schedule.steps,
                "usd": usd(step * schedule.steps * devices / 3600, speed.model),
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    columns = ["link", ">compute", ">all-reduce", ">input", ">step", ">images/s", ">efficiency"]
    columns += [">training", ">$"]
    cells = [
        [
            row["link"],
            f"{row['compute_seconds']:.3g} s",
            f"{row['all_reduce_seconds']:.2g} s",
            "not measured" if row["input_seconds"] is None else f"{row['input_seconds']:.2g} s",
            f"{row['step_seconds']:.3g} s",
            f"{row['images_per_second']:,.0f}",
            f"{row['efficiency']:.0%}",
            duration(row["wall_seconds"]),
            money(row["usd"]),
        ]
        for row in rows
    ]
    first = rows[0]
    title = (
        f"on {first['devices']} devices, on paper: {first['micro_batches']} micro-batches a step, "
        f"{count(first['all_reduce_bytes'])} bytes reduced once"
    )
    console.say()
    console.table(columns, cells, title)
