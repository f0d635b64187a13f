"""ImageNet-100 as links into ImageNet. Torch-free."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.errors import BenchError, DataError


@dataclass(frozen=True)
class LinkedSubset:
    """The resulting folder, its classes, and the number of new links."""

    root: str
    classes: int
    links: int


def prepare_imagenet100(source: Path, to: Path) -> LinkedSubset:
    """Link the class folders of ImageNet-100's usual list below a new root.

    Nothing is copied, and existing links are kept. Raises DataError if the source lacks class
    folders or files are in the way; BenchError if links cannot be made.
    """
    names = load_spec("imagenet100").usual_classes
    wanted = [(part, name) for part in ("train", "val") for name in names]
    absent = [f"{part}/{name}" for part, name in wanted if not (source / part / name).is_dir()]
    if absent:
        more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        raise DataError(
            f"{source} has no class folder {absent[0]}{more}",
            "--from wants ImageNet's folder, with train/ and val/ and class folders in each, as "
            "`ofa-bench data prepare imagenet` makes it of the archives",
        )
    made = sum(_link(source / part / name, to / part / name) for part, name in wanted)
    return LinkedSubset(str(to), len(names), made)


def _link(target: Path, link: Path) -> bool:
    target = target.resolve()
    if link.is_symlink() and Path(os.path.realpath(link)) == target:
        return False
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target, target_is_directory=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(
            f"{link} is in the way: it is not a link to {target}",
            "give --to a new or empty folder",
        ) from error
    except OSError as error:
        raise BenchError(
            f"cannot make the link {link}: {error.strerror or error}",
            "give --to a folder you may write, on a disk that has links",
        ) from error
    return True
