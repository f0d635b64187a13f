"""One rank of a plugin's short runs: `torchrun -m ofa_bench.testing.rank jobs.json`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from ofa_bench import api


def main(file: str) -> int:
    """Carry out each request of a file; tell which ended, and stop at the first that fails."""
    for number, values in enumerate(json.loads(Path(file).read_text(encoding="utf-8"))):
        # A store of its own for each run: the one torchrun lends still knows the last run's ranks.
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
        os.environ["MASTER_PORT"] = str(values.pop("port"))
        said: dict[str, Any] = {k: v for k, v in values.items() if v not in (None, [], False)}
        try:
            api.run(**said)
        except Exception as error:
            tell(f"failed {number} {type(error).__name__}: {' '.join(str(error).split())}")
            return 1
        tell(f"done {number}")
    return 0


def tell(line: str) -> None:
    """A line on stdout, from the first rank; a failure from any."""
    if os.environ.get("RANK", "0") == "0" or line.startswith("failed"):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
