"""Write a new plugin, a package or one file, from the shipped templates. Works offline."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from ofa_bench.atomic_io import write_whole
from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import discover

KINDS = ("shrink", "lr", "distill", "method", "extra", "space", "dataset")
PARTS = {"method": ("shrink", "lr", "distill")}
PARTNERS = {"shrink": "--lr cosine --distill labels", "lr": "", "distill": "--shrink sandwich"}
FIRST_OPTION = {
    "shrink": ("shrink.{name}.start", "1/4"),
    "lr": ("lr.{name}.power", "1"),
    "distill": ("distill.{name}.weight", "0.5"),
}
ENTRY_MODULE = '''"""$title, for ofa-bench."""

from __future__ import annotations

$imports

ofa_bench_api = "1"  # the plugin API this is written for


@hookimpl
def register(catalogue: Catalogue) -> None:
    """What this plugin adds; the card is README.md."""
$entries
'''


def new_plugin(name: str, kind: str, folder: Path, single_file: bool = False) -> list[Path]:
    """Write a working plugin into a folder and return its files. Raises UsageError if the name is
    invalid or taken, or a file already exists."""
    _check(name, kind, single_file)
    if single_file:
        path = folder / f"{_module(name)}.py"
        texts = {path: _one_file(name, kind)}
    else:
        root = folder / f"ofa-bench-{name}"
        texts = {root / path: text for path, text in _package(name, kind).items()}
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
    if single_file and kind in ("space", "dataset"):
        raise UsageError(f"a {kind} is a TOML table, not a Python file", "drop --single-file")
    taken = [
        entry
        for entry in discover().catalogue
        if (entry.kind, entry.name) == (kind, name) or entry.origin.plugin == name
    ]
    if taken:
        raise UsageError(f"{name!r} is a name of {taken[0].origin}'s already", "choose another")


def _package(name: str, kind: str) -> dict[str, str]:
    package = f"ofa_bench_{_module(name)}"
    parts = PARTS.get(kind, (kind,))
    texts = {
        "pyproject.toml": _filled("pyproject.toml", name),
        "README.md": _filled(
            "README.md", name, card=_card(name, parts), **{"try": _try(name, kind)}
        ),
        f"{package}/__init__.py": _entry_module(name, kind, package),
        f"tests/test_{_module(name)}.py": _filled("tests.py", name),
        ".github/workflows/contract.yml": _filled("ci.yml", name),
    }
    for part in parts:
        if part in ("space", "dataset"):
            texts[f"{package}/specs/{part}s/{name}.toml"] = _filled(f"{part}.toml", name)
        else:
            texts[f"{package}/{part}.py"] = _filled(f"{part}.py", name)
    return texts


def _entry_module(name: str, kind: str, package: str) -> str:
    if kind in ("space", "dataset"):
        imports = "from pathlib import Path\n\nfrom ofa_bench import Catalogue, hookimpl"
        entries = '    catalogue.specs(Path(__file__).parent / "specs")'
    else:
        imports = "from ofa_bench import Catalogue, hookimpl"
        parts = PARTS.get(kind, (kind,))
        targets = {part: f'"{package}.{part}:{_class(name)}"' for part in parts}
        entries = _entries(name, kind, targets)
    return Template(ENTRY_MODULE).substitute(title=_title(name), imports=imports, entries=entries)


def _entries(name: str, kind: str, targets: dict[str, str]) -> str:
    trains = ", affects_training=True" if kind == "extra" else ""
    lines = [
        f'    catalogue.{part}("{name}", {target}{trains})' for part, target in targets.items()
    ]
    if kind == "method":
        lines += ["    catalogue.method(", f'        "{name}",']
        lines += [f'        {part}="{name}",' for part in targets]
        lines += ['        presets={"budget": {"reference": 180}},  # epochs, as published']
        lines += [f'        paper="{_title(name)}, venue year",', "    )"]
    return "\n".join(lines)


def _one_file(name: str, kind: str) -> str:
    """All policy modules in one file, with `register` at the end."""
    parts = PARTS.get(kind, (kind,))
    bodies, imports = [], {"Catalogue", "hookimpl"}
    for part in parts:
        text = _filled(f"{part}.py", name, cls=f"{_class(name)}{part.title() if parts[1:] else ''}")
        head, _, body = text.partition("\n\n\n")
        bodies.append(body.rstrip())
        heads = head.splitlines()
        for line in heads:
            if line.startswith("from ofa_bench import "):
                imports |= set(line.removeprefix("from ofa_bench import ").split(", "))
    classes = {part: f"{_class(name)}{part.title() if parts[1:] else ''}" for part in parts}
    joined = ",\n    ".join(sorted(imports))
    tensors = any("Tensor" in body for body in bodies)
    callables = any("Callable" in body for body in bodies)
    standard = "from collections.abc import Callable" if callables else ""
    standard += "\nfrom typing import TYPE_CHECKING" if tensors else ""
    texts = [
        f'"""{_title(name)}.\n\n{_try(name, kind)} \\\n  --plugin {_module(name)}.py\n"""',
        "from __future__ import annotations",
        standard,
        "from pydantic import Field" if any("Field(" in body for body in bodies) else "",
        f"from ofa_bench import (\n    {joined},\n)",
        "if TYPE_CHECKING:\n    from torch import Tensor" if tensors else "",
    ]
    register = (
        'ofa_bench_api = "1"  # the plugin API this is written for\n\n\n'
        "@hookimpl\ndef register(catalogue: Catalogue) -> None:\n"
        f'    """What this plugin adds."""\n{_entries(name, kind, classes)}\n'
    )
    head = "\n\n".join(text.strip("\n") for text in texts if text)
    return "\n\n\n".join([head, *bodies, register])


def _card(name: str, parts: tuple[str, ...]) -> str:
    lines = [FIRST_OPTION[part] for part in parts if part in FIRST_OPTION] or [("–", "–")]
    test = f"tests/test_{_module(name)}.py::test_contract"
    return "\n".join(
        f"| what the paper says | `{option.format(name=name)}` | `{value}` | `{test}` | unknown |"
        for option, value in lines
    )


def _try(name: str, kind: str) -> str:
    if kind == "space":
        return f"ofa-bench run --space {name} --epochs 2"
    if kind == "dataset":
        return f"ofa-bench data check {name} --data-dir DIR"
    return f"ofa-bench run {_choice(name, kind)} --space toy --epochs 2"


def _choice(name: str, kind: str) -> str:
    flag = "with" if kind == "extra" else kind
    return f"--{flag} {name} {PARTNERS.get(kind, '')}".strip()


def _filled(template: str, name: str, **values: str) -> str:
    text = (files("ofa_bench") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    known = {
        "name": name,
        "title": _title(name),
        "package": f"ofa_bench_{_module(name)}",
        "cls": _class(name),
    }
    return Template(text).substitute({**known, **values})


def _module(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")


def _class(name: str) -> str:
    return "".join(word.title() for word in _module(name).split("_"))


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
