"""The site of the committed records: whole, small, and the same each time."""

from __future__ import annotations

import json
import os
import re
import tarfile
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ofa_bench.records.schema import own_hash
from ofa_bench.records.store import Store, parse

from .conftest import COMMITTED, ROOT, Made, made, read


def test_every_link_and_anchor_resolves(committed: Made) -> None:
    pages = committed.pages
    assert len(pages) > 100
    reached = {committed.folder / "index.html"}
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data"):
                assert parts.scheme == "data" or path.parent.name == "methods", link
                continue
            assert not parts.scheme and not parts.netloc and not link.startswith("/"), link
            beside = Path(os.path.normpath(path.parent / unquote(parts.path)))
            target = beside if parts.path else path
            assert target.is_file(), f"{path}: {link}"
            assert not parts.fragment or parts.fragment in pages[target].ids, f"{path}: {link}"
            reached.add(target)
    files = {path for path in committed.folder.rglob("*") if path.is_file()}
    assert files - reached == {committed.folder / "ofa-bench-site.json"}, "a page nobody finds"


def test_it_is_small_and_complete(committed: Made) -> None:
    files = [path for path in committed.folder.rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    assert total == committed.said["bytes"] <= 5e6
    assert committed.said["pages"] == len(committed.pages)
    assert committed.said["left_out"] == []
    stores = [Store(ROOT / name) for name in COMMITTED]
    ranked = {
        entry.record.sha256
        for store in stores
        for entry in store.list()
        if entry.record.task.space.table is None
    }
    assert {path.stem for path in committed.folder.glob("records/*.html")} == {
        sha256[:32] for sha256 in ranked
    }


def test_every_page_says_what_it_is(committed: Made) -> None:
    titles = set()
    for path, page in committed.pages.items():
        tags = [tag for tag, _ in page.tags]
        assert tags.count("h1") == tags.count("title") == tags.count("main") == 1
        assert ("html", {"lang": "en"}) in page.tags
        levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
        assert all(after <= before + 1 for before, after in pairwise(levels)), path
        policies = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
        assert len(policies) == 1 and "unsafe" not in (policies[0] or "")
        assert not any({"style", "onclick", "onerror"} & values.keys() for _, values in page.tags)
        titles.add(path.read_text().split("<title>")[1].split("</title>")[0])
    assert len(titles) > 20


def test_records_can_be_taken_away(committed: Made) -> None:
    """Every record's page leads to an archive that holds it, as its file spells it."""
    archives: dict[str, dict[str, bytes]] = {}
    for path in committed.folder.glob("records/*.tar.xz"):
        with tarfile.open(path) as archive:
            files = {item.name: archive.extractfile(item) for item in archive}
            archives[path.name] = {name: file.read() for name, file in files.items() if file}
    paths = (path for name in COMMITTED for path in (ROOT / name).glob("records/*/*/*.json"))
    kept = {path.read_bytes() for path in paths}
    pages = {path: page for path, page in committed.pages.items() if path.parent.name == "records"}
    assert sum(map(len, archives.values())) == len(pages)
    for path, page in pages.items():
        (link,) = [link for link in page.links if link.endswith(".tar.xz")]
        match = {
            n: raw for n, raw in archives[link].items() if f"ofa-bench reproduce {n}" in page.text
        }
        ((name, raw),) = match.items()
        record = parse(raw, name)
        assert own_hash(record) == record.sha256 and record.sha256[:32] == path.stem
        assert raw in kept
        values = (record.sha256, record.row_id, record.weights_sha256, record.machine.torch)
        assert all(value in page.text for value in values)


def test_the_first_page_has_the_boards_own_words(committed: Made) -> None:
    text = read(committed.folder / "index.html").text
    boards = [
        json.loads(path.read_text())
        for name in COMMITTED
        for path in sorted((ROOT / name / "boards").glob("*.json"))
    ]
    assert committed.said["tracks"] == len(boards)
    assert committed.said["records"] == sum(row["n"] for b in boards for row in b["rows"])
    for board in boards:
        first = [row for row in board["rows"] if row["rank"] == 1 and not row["provisional"]]
        if len(first) == 1:
            assert f"{first[0]['mean_pareto_accuracy']['mean']:.2f}" in text
    assert "share rank 1: none is surely better" in text
    assert "n = 1: order not told" in text


def test_the_same_records_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    made(tmp_path / "one", results)
    made(tmp_path / "two", results)
    names = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(names) > 15
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
