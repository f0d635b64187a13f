"""docs/security.md: its table of limits is that of the program.

python tests/repo_rules/test_security.py        writes the table anew
"""

from __future__ import annotations

import re
from pathlib import Path

from ofa_bench.limits import LIMITS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
MARKED = re.compile(r"(?<=<!-- limits -->\n).*?(?=<!-- limits end -->)", re.S)


def table() -> str:
    """The limits as Markdown, by name."""
    rows = [
        f"| `{name}` | {shown(bound.value, bound.unit)} | {bound.bounds} |"
        for name, bound in sorted(LIMITS.items())
    ]
    return "\n".join(["| limit | default | bounds |", "|---|---|---|", *rows]) + "\n"


def shown(value: int, unit: str) -> str:
    """A value with its unit; bytes in binary units where they come out even."""
    units = ["TiB", "GiB", "MiB", "KiB"]
    for power, name in zip((40, 30, 20, 10), units, strict=True):
        if unit == "bytes" and value % (1 << power) == 0:
            return f"{value >> power:,} {name}"
    return f"{value:,} {unit}"


def test_the_table_is_the_programs() -> None:
    (kept,) = MARKED.findall(PAGE.read_text(encoding="utf-8"))
    assert kept == table(), "run `python tests/repo_rules/test_security.py`"


def test_the_readme_leads_there() -> None:
    assert "docs/security.md" in (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    PAGE.write_text(MARKED.sub(table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
