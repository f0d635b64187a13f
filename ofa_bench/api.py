"""The tool from Python; the command line is a skin over this. Importing it imports no torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.catalogue import GROUP, Catalogue, discover, load_file
from ofa_bench.engine.assemble import Assembly, assemble, space_of
from ofa_bench.engine.checks import expected_candidates as expected_candidates
from ofa_bench.engine.checks import record_checks as record_checks
from ofa_bench.engine.checks import recorded_space as recorded_space
from ofa_bench.engine.observers import Progress, Silent
from ofa_bench.errors import BenchError, ResumeError, TrainingDiverged, UsageError, nearest
from ofa_bench.recipe import Request
from ofa_bench.space import Space
from ofa_bench.specs import load_toml, specs_root

if TYPE_CHECKING:
    from ofa_bench.engine.signals import Stop
    from ofa_bench.evaluate.score import Correctness
    from ofa_bench.records.schema import Record, Score


def request(**values: Any) -> Request:
    """A request from keywords named as the command's options; UsageError on an unknown one."""
    known = {field.name for field in fields(Request)}
    for name in values:
        if name not in known:
            guess = nearest(name, known)
            raise UsageError(
                f"run has no option {name!r}",
                f"did you mean {guess}?"
                if guess
                else f"the options are: {', '.join(sorted(known))}",
            )
    for name in ("set", "extras", "plugins"):
        if name in values:
            given = values[name]
            if isinstance(given, Mapping):
                given = [f"{path}={json.dumps(value)}" for path, value in given.items()]
            values[name] = (given,) if isinstance(given, str) else tuple(given)
    return Request(**values)


def catalogue_for(asked: Request) -> Catalogue:
    """What exists, with the request's single-file plugins."""
    found = discover()
    if not asked.plugins:
        return found.catalogue
    catalogue = Catalogue()
    catalogue.merge(found.catalogue)
    for file in asked.plugins:
        scratch = type(found)(catalogue)
        scratch.admit(*load_file(Path(file)))
    return catalogue


def plan(**values: Any) -> Assembly:
    """Assemble a run without data or torch: phases, schedule, teachers, predicted cost."""
    asked = request(**values)
    return assemble(asked, catalogue_for(asked))


def run(**values: Any) -> Record:
    """Train, evaluate and store one run; the same names and layering as the command.

    Policies may be given as instances. A finished run is reused and a begun one resumed, unless
    `fresh`. Raises BenchError and its kin.
    """
    return run_request(request(**values))


def run_request(
    asked: Request,
    progress: Progress | None = None,
    command: str | None = None,
    leave: frozenset[int] | None = None,
) -> Record:
    """As `run`, watched by `progress`. `leave`: see `engine.carry.prepare`."""
    assembly = assemble(asked, catalogue_for(asked))  # refuse before torch is even imported
    from ofa_bench.engine.carry import carry_out, prepare
    from ofa_bench.engine.devices import open_devices
    from ofa_bench.engine.signals import listening

    watch = progress or Silent()
    with open_devices(assembly.recipe.execution.device) as devices, listening() as stop:
        catalogue = catalogue_for(asked)
        prepared = prepare(asked, catalogue, devices, leave)
        done = prepared.finished
        if done is not None and asked.fresh:
            raise BenchError(
                f"{done.run.id} is recorded already, and records are never overwritten",
                "run it afresh into another folder with --results DIR",
            )
        if done is not None and done.status == "diverged":
            raise TrainingDiverged(
                f"{done.run.id} diverged, and its record stands: {done.error}",
                "lower optim.lr, or set optim.clip: that is another run",
            )
        if done is not None:
            watch.note(f"{done.run.id} is finished already: its record stands")
            return done
        _name_resumption(stop, prepared.identity.name, asked)
        return carry_out(prepared, catalogue, stop, watch, command or shell_line(asked))


def _name_resumption(stop: Stop, name: str, asked: Request) -> None:
    place = f" --results {shlex.quote(str(asked.results))}" if asked.results else ""
    stop.hint = f"go on with: ofa-bench resume {name}{place}"


def resume(
    name: str, results: str | Path | None = None, progress: Progress | None = None
) -> Record:
    """Go on with a begun run by its name, or the beginning of it."""
    asked, command = begun(name, results)
    return run_request(asked, progress, command)


def begun(name: str, results: str | Path | None = None) -> tuple[Request, str]:
    """The request that began a run, aimed at the folder it lies in; and its command line."""
    folder = find_run(name, results)
    told = read_begun(folder)
    asked = request(**{**told["request"], "results": str(folder.resolve().parent.parent)})
    return replace(asked, fresh=False), told["command"]


def read_begun(folder: Path) -> dict[str, Any]:
    """A run folder's `run.json`; ResumeError if it cannot be read."""
    try:
        told: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return {**told, "request": dict(told["request"]), "command": str(told["command"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResumeError(
            f"{folder} does not hold a begun run", "`ofa-bench runs` lists what there is"
        ) from error


def find_run(name: str, results: str | Path | None = None) -> Path:
    """The folder of a begun run; UsageError if no run, or more than one, begins like that."""
    root = results_root(results) / "runs"
    if Path(name).is_dir() and (Path(name) / "run.json").is_file():
        return Path(name)
    begun = sorted(path.parent for path in root.glob("*/run.json"))
    found = [folder for folder in begun if folder.name == name]
    found = found or [folder for folder in begun if name and folder.name.startswith(name)]
    if len(found) != 1:
        names = ", ".join(folder.name for folder in (found or begun)[:5])
        raise UsageError(
            f"{'several runs begin' if found else 'no begun run begins'} with {name!r} in {root}",
            f"there are: {names}" if names else "start one with `ofa-bench run`",
        )
    return found[0]


def results_root(results: str | Path | None) -> Path:
    """The results folder: as given, else $OFA_BENCH_RESULTS, else ./results."""
    import os

    return Path(results or os.environ.get("OFA_BENCH_RESULTS") or "results")


def compare_requests(
    methods: Sequence[str] | None, seeds: Sequence[int], **values: Any
) -> list[Request]:
    """Every method × seed as a request, methods running within a seed."""
    names = methods or load_toml(specs_root() / "defaults.toml")["compare"]["methods"]
    return [request(**{**values, "method": name, "seed": seed}) for seed in seeds for name in names]


def compare(
    methods: Sequence[str] | None = None, seeds: Sequence[int] = (0, 1, 2), **values: Any
) -> list[Record]:
    """Run every method × seed; finished ones are reused, begun ones resumed, and runs that begin
    alike train their beginning once."""
    from ofa_bench.engine.prefix import branch_points, chain

    asked = compare_requests(methods, seeds, **values)
    chains = [chain(assemble(each, catalogue_for(each))) for each in asked]
    points = branch_points(chains)
    return [run_request(each, leave=leave) for each, (_, leave) in zip(asked, points, strict=True)]


def shell_line(asked: Request) -> str:
    """The command that makes this request."""
    words = ["ofa-bench run"]
    for field in fields(Request):
        value = getattr(asked, field.name)
        if value == field.default:
            continue
        flag = "--" + {"extras": "with", "plugins": "plugin"}.get(field.name, field.name)
        flag = flag.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag)
        elif isinstance(value, tuple):
            words += [f"{flag} {shlex.quote(str(each))}" for each in value]
        else:
            shown = value if isinstance(value, str | int | float | Path) else type(value).__name__
            words.append(f"{flag} {shlex.quote(str(shown))}")
    return " ".join(words)


def evaluate(
    name: str,
    subnets: Sequence[str | Mapping[str, Any]],
    *,
    results: str | Path | None = None,
    progress: Progress | None = None,
    **execution: Any,
) -> list[Score]:
    """Calibrate and score subnets of a finished run, on select and on test.

    `execution` may give `device`, `data_dir` and `workers` anew. Raises UsageError on a subnet
    outside the run's space, ResumeError where there is no such run, or its weights are not there.
    """
    folder = find_run(name, results)
    asked = replace(begun(str(folder))[0], **{k: v for k, v in execution.items() if v is not None})
    catalogue = catalogue_for(asked)
    assembly = assemble(asked, catalogue)
    nets = [assembly.space.subnet(spec) for spec in subnets]
    if not (folder / "weights.safetensors").is_file():
        raise ResumeError(f"{folder.name} is not finished", f"`ofa-bench resume {folder.name}`")
    from ofa_bench.engine.carry import build_net, prepare
    from ofa_bench.engine.devices import open_devices
    from ofa_bench.engine.weights import load_weights
    from ofa_bench.evaluate.score import score

    with open_devices(assembly.recipe.execution.device) as devices:
        prepared = prepare(asked, catalogue, devices)
        net = build_net(prepared.assembly, catalogue, devices)
        load_weights(net, folder)
        (progress or Silent()).note(f"scoring {len(nets)} subnets of {folder.name}")
        chunk = assembly.science.evaluate.chunk
        with closing(prepared.source):
            found = score(net, nets, prepared.source, chunk=chunk, devices=devices)
    return [_score(prepared.assembly, each) for each in found]


def _score(assembly: Assembly, found: Correctness) -> Score:
    from ofa_bench.records.schema import Score

    space, classes = assembly.space, assembly.classes
    return Score(
        subnet=found.subnet.to_json(),
        name=str(found.subnet),
        macs=space.macs(found.subnet, classes),
        params=space.params(found.subnet, classes),
        top1_select=found.top1("select"),
        top1_test=found.top1("test"),
    )


def card(method: str, known: Catalogue | None = None) -> Path:
    """The fidelity card of a method: the README.md beside its plugin. UsageError if none."""
    origin = (known or discover().catalogue).get("method", method).origin
    for point in importlib.metadata.entry_points(group=GROUP, name=origin.plugin):
        dist = point.dist.name if point.dist else ""
        spec = importlib.util.find_spec(point.module.partition(".")[0])
        if dist == origin.distribution and spec is not None and spec.origin:
            path = Path(spec.origin).parent / "README.md"
            if path.is_file():
                return path
    raise UsageError(
        f"{origin} has no card for {method!r}", "a plugin's card is the README.md in its package"
    )


def load_space(name: str) -> Space:
    """A space by its name, or by the path of its TOML table."""
    return space_of(name, discover().catalogue)


def build_supernet(space: Space, classes: int, seed: int = 0, **options: Any) -> Any:
    """A space's supernet with fresh weights: a torch.nn.Module with `activate(subnet)`."""
    build = discover().catalogue.get("supernet", space.table.family).load()
    return build(space, classes, seed=seed, **options)
