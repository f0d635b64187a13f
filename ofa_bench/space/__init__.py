"""Architecture spaces: tables, subnets, exact costs and draws; free of torch."""

from __future__ import annotations

from ofa_bench.space.costs import Tally
from ofa_bench.space.space import Space, load_space
from ofa_bench.space.subnet import Subnet
from ofa_bench.space.table import (
    First,
    Head,
    Row,
    Stem,
    Table,
    load_table,
    round8,
    table_names,
)

__all__ = [
    "First",
    "Head",
    "Row",
    "Space",
    "Stem",
    "Subnet",
    "Table",
    "Tally",
    "load_space",
    "load_table",
    "round8",
    "table_names",
]
