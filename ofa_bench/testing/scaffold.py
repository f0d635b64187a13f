"""Write a new plugin, a package or one file, from the shipped templates. Works offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ofa_bench import __version__
from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import discover

BOARD = "board"  # no plugin: a repository of records
BOARD_FILES = {
    "README.md": "README.md",
    "LICENSE": "LICENSE",
    "requirements.txt": "requirements.txt",
    ".gitattributes": "gitattributes",
    ".gitignore": "gitignore",
    ".github/CODEOWNERS": "CODEOWNERS",
    ".github/workflows/check.yml": "check.yml",
    ".github/workflows/publish.yml": "publish.yml",
    "results/records/.gitkeep": "keep",
    "results/boards/.gitkeep": "keep",
}
KINDS = ("shrink", "lr", "distill", "method", "extra", "space", "dataset")
PARTS = {"method": ("shrink", "lr", "distill")}
PARTNERS = {"shrink": "--lr cosine --distill labels", "lr": "", "distill": "--shrink sandwich"}
FIRST_OPTION = {
    "shrink": ("shrink.{name}.start", "1/4"),
    "lr": ("lr.{name}.power", "1"),
    "distill": ("distill.{name}.weight", "0.5"),
}
USED = {  # from ofa_bench, by the templates
    "shrink": "Budget Draw Duration Options Phase Role ShrinkPolicy Space Step Subnet largest_only",
    "lr": "Draw LrOptions LrPolicy Role Step",
    "distill": "Batch Criterion DistillPolicy Draw Options Role Seen Step",
    "extra": "",
}


def new_plugin(name: str, kind: str, folder: Path, single_file: bool = False) -> list[Path]:
    """Write a working plugin, or a board's repository, into a folder and return its files. Raises
    UsageError if the name is invalid or taken, or a file already exists."""
    _check(name, kind, single_file)
    if single_file:
        path = folder / f"{_module(name)}.py"
        texts = {path: _single(name, kind)}
    else:
        root = folder / f"ofa-bench-{name}"
        files = _board(name) if kind == BOARD else _package(name, kind)
        texts = {root / path: text for path, text in files.items()}
    for path in texts:
        if path.exists():
            raise UsageError(f"{path} already exists", "choose another name, or another --to DIR")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return list(texts)


def _check(name: str, kind: str, single_file: bool) -> None:
    if not _module(name).isidentifier() or name != name.lower():
        raise UsageError(
            f"{name!r} is no name for a plugin", "small letters, digits and -: my-idea"
        )
    if single_file and kind == BOARD:
        raise UsageError("a board is a repository, not a Python file", "drop --single-file")
    if single_file and kind in ("space", "dataset"):
        raise UsageError(f"a {kind} is a TOML table, not a Python file", "drop --single-file")
    taken = [
        entry
        for entry in discover().catalogue
        if (entry.kind, entry.name) == (kind, name) or entry.origin.plugin == name
    ]
    if taken:
        raise UsageError(f"{name!r} is a name of {taken[0].origin}'s already", "choose another")


def _board(name: str) -> dict[str, str]:
    """A repository whose checks validate pull requests of records, and whose site shows them."""
    values = {"name": name, "title": _title(name), "version": __version__}
    return {path: _filled(f"board/{text}", values) for path, text in BOARD_FILES.items()}


def _package(name: str, kind: str) -> dict[str, str]:
    package, parts = f"ofa_bench_{_module(name)}", PARTS.get(kind, (kind,))
    options = [FIRST_OPTION[part] for part in parts if part in FIRST_OPTION] or [("–", "–")]
    values = {
        **_values(name, kind),
        "package": package,
        "cls": _class(name),
        "options": [(option.format(name=name), value) for option, value in options],
        "targets": {p: f'"{package}.{p}:{_class(name)}"' for p in parts if p in USED},
        "single": False,
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{package}/__init__.py": "entry.py",
        f"tests/test_{_module(name)}.py": "tests.py",
        ".github/workflows/contract.yml": "ci.yml",
        **{f"{package}/{part}.py": f"{part}.py" for part in parts if part in USED},
    }
    if kind not in PARTS and kind not in USED:
        files[f"{package}/specs/{kind}s/{name}.toml"] = f"{kind}.toml"
    return {path: _filled(template, values) for path, template in files.items()}


def _single(name: str, kind: str) -> str:
    """All policies in one file, with `register` at the end."""
    parts = PARTS.get(kind, (kind,))
    imports = {"Catalogue", "hookimpl", *" ".join(USED[part] for part in parts).split()}
    values = {
        **_values(name, kind),
        "targets": {p: f"{_class(name)}{p.title() if parts[1:] else ''}" for p in parts},
        "imports": sorted(imports),
        "tensors": bool({"distill", "extra"} & set(parts)),
        "single": True,
    }
    return _filled("single.py", values)


def _values(name: str, kind: str) -> dict[str, object]:
    """What every template of a plugin may name."""
    choice = f"--{'with' if kind == 'extra' else kind} {name} {PARTNERS.get(kind, '')}".strip()
    command = f"ofa-bench run {choice} --space toy --epochs 2"
    if kind == "space":
        command = f"ofa-bench run --space {name} --epochs 2"
    if kind == "dataset":
        command = f"ofa-bench data check {name} --data-dir DIR"
    title, module = _title(name), _module(name)
    return {"name": name, "kind": kind, "title": title, "module": module, "command": command}


def _filled(template: str, values: Mapping[str, object]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ofa_bench"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{template}.txt").render(values)


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _module(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


def _class(name: str) -> str:
    return "".join(word.title() for word in _module(name).split("_"))
