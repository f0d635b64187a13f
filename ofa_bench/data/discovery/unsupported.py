"""Layouts that are not read, known by their files' names, and how to convert each. Torch-free."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOST_ENTRIES = 20_000  # of one folder that are looked at
PARTS = ("", "train", "val", "validation", "data", "train_lmdb", "val_lmdb")
TABLES = (".csv", ".tsv")
KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")  # with its lists of labels in the folder above all


class UnreadLayout(NamedTuple):
    """A kind of file: the names it goes by, what it is, and how its images become readable."""

    names: re.Pattern[str]
    kind: str
    remedy: str


LAYOUTS = (
    UnreadLayout(
        re.compile(r"^ILSVRC2012_img_(train|val)\.tar$"),
        "an archive of ImageNet as image-net.org has it",
        "`ofa-bench data prepare imagenet --from DIR --to DIR` makes class folders of it",
    ),
    UnreadLayout(
        re.compile(r"\.tfrecords?(\.gz)?(-\d+-of-\d+)?$|^(train|validation)-\d{5}-of-\d{5}$"),
        "TFRecord files",
        "write the bytes of each record's image/encoded to train/CLASS/NAME.jpg with TensorFlow "
        "(tf.data.TFRecordDataset, tf.io.parse_single_example)",
    ),
    UnreadLayout(
        re.compile(r"\.beton$"),
        "an FFCV file",
        "go back to the images that it was written from: its JPEG bytes may be encoded anew",
    ),
    UnreadLayout(
        re.compile(r"^data\.mdb$|\.lmdb$|\.mdb$"),
        "an LMDB database",
        "write each value's image to train/CLASS/NAME.jpg with the package lmdb, by the layout of "
        "the program that made it",
    ),
    UnreadLayout(
        re.compile(r"\.arrow$"),
        "Arrow files of `datasets.save_to_disk`",
        "write each split as parquet, which is read: datasets.load_from_disk(DIR)['train']"
        ".to_parquet('NEW/data/train-00000-of-00001.parquet')",
    ),
    UnreadLayout(
        re.compile(r"\.(h5|hdf5)$", re.I),
        "an HDF5 file",
        "write each image to train/CLASS/NAME.png with the package h5py",
    ),
    UnreadLayout(
        re.compile(r"\.npz$|^(train|val)_data(_batch_\d+)?(\.npz)?$"),
        "arrays of pixels, as downsampled ImageNet has them",
        "write each row of `data`, reshaped to (3, side, side), to train/CLASS/NAME.png by its "
        "`labels`, with numpy and Pillow",
    ),
    UnreadLayout(
        re.compile(r"\.(rec|idx)$"),
        "MXNet RecordIO files",
        "unpack them with MXNet's recordio.unpack into train/CLASS/NAME.jpg",
    ),
    UnreadLayout(
        re.compile(r"\.mds(\.zstd)?$"),
        "shards of MosaicML's streaming",
        "write each sample's image to train/CLASS/NAME.jpg with streaming.StreamingDataset",
    ),
    UnreadLayout(
        re.compile(r"^(?!ILSVRC2012_devkit).*\.(tar\.(gz|xz|bz2)|tgz)$"),
        "a compressed archive without train/ and val/ in it",
        "unpack it; of an archive a class, or of shards, unpack the compression alone, as by "
        "`gunzip FILE`",
    ),
    UnreadLayout(
        re.compile(r"^(?!ILSVRC2012_).*\.tar$"),
        "an archive without train/ and val/ in it",
        "unpack it, so that its class folders lie in train/ or val/",
    ),
    UnreadLayout(
        re.compile(r"\.(zip|rar|7z|zst|lzma)$", re.I),
        "an archive of a kind that is not read",
        "unpack it, or pack it as .tar or .tar.gz",
    ),
)


def unread_layouts(folder: Path) -> Iterator[str]:
    """A sentence for each layout in a folder, or in its parts, that is not read."""
    seen = set()
    for part in PARTS:
        names = sorted(_names(folder / part))
        for layout in LAYOUTS:
            matching = [name for name in names if layout.names.search(name)]
            if matching and layout.kind not in seen:
                seen.add(layout.kind)
                more = f" (and {len(matching) - 1:,} more)" if len(matching) > 1 else ""
                yield f"{folder / part / matching[0]}{more} is {layout.kind}: {layout.remedy}"
    if (folder / KAGGLE).is_dir():
        yield f"{folder / KAGGLE} is a folder of images as Kaggle has them: name it as --data-dir"
    else:
        yield from _tables(folder)


def remedies_of(path: Path) -> Iterator[str]:
    """How the images in a file become readable, if it is of such a kind."""
    return (layout.remedy for layout in LAYOUTS if layout.names.search(path.name))


def _tables(folder: Path) -> Iterator[str]:
    """A table beside images that are in no class folders."""
    names = sorted(_names(folder))
    tables = [name for name in names if Path(name).suffix.lower() in TABLES]
    if tables:
        yield (
            f"{folder / tables[0]} may be a list of labels that is not read: sort the images by it "
            "into train/CLASS/ and val/CLASS/"
        )


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            some = itertools.islice(entries, MOST_ENTRIES)
            return [entry.name for entry in some if not entry.name.startswith(".")]
    except OSError:
        return []
