"""The kinds of hostile files: each lays one case into a box, from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.hostile.box import Box
from tests.hostile.corpus import Corpus
from tests.hostile.execution import Case
from tests.hostile.kinds import big_files, data, deployment, imagenet, images, records, runs, texts

Kind = Callable[[random.Random, Box, Corpus], Case]
KINDS: dict[str, Kind] = {
    **texts.KINDS,
    **records.KINDS,
    **images.KINDS,
    **data.KINDS,
    **imagenet.KINDS,
    **big_files.KINDS,
    **runs.KINDS,
    **deployment.KINDS,
}


def made(kind: str, seed: int, box: Box, corpus: Corpus) -> Case:
    """The case of a kind that a seed stands for, laid into the box."""
    return KINDS[kind](random.Random(f"{kind}/{seed}"), box.make(), corpus)
