"""A process that imports everything once and forks a child for every case it is asked for.

A line on stdin is a JSON document, `{"kind", "seed"}` or `{"box"}` of a case that lies there
ready; a line on stdout is what came of it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case, execute
from tests.hostile.kinds import made

CASE = "case.json"


def main() -> None:
    """Answer until stdin ends: argv is the corpus's folder and the box's."""
    corpus, root = Corpus(Path(sys.argv[1])), Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _import()
    gc.freeze()  # so that children copy no page just by collecting
    if not corpus.root.exists():
        corpus.root.mkdir(parents=True)
        corpus.make()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        wish: dict[str, Any] = json.loads(line)
        box = Box(Path(wish.get("box", root)))
        if "kind" in wish:
            case = made(wish["kind"], wish["seed"], box, corpus)
            (box.root / CASE).write_text(json.dumps(vars(case), indent=1) + "\n")
            (box.root / "where.json").write_text(json.dumps(str(box.root)) + "\n")
        else:
            case = Case(**json.loads((box.root / CASE).read_text()))
        print(
            json.dumps(execute(box, case, wish.get("debug", False)).to_json()),
            file=answers,
            flush=True,
        )


def _import() -> None:
    """Everything that a command imports late."""
    import ofa_bench
    import ofa_bench.cli

    for package in (ofa_bench.cli, ofa_bench):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and ".testing" not in module.name:
                importlib.import_module(module.name)
    import sklearn.datasets
    import torchvision.transforms.v2.functional
    from PIL import Image

    from ofa_bench.hooks.catalogue import discover

    Image.init()
    discover()
    assert sklearn.datasets
    assert torchvision.transforms.v2.functional


if __name__ == "__main__":
    main()
