"""What a launcher is: it hands families of runs to whatever trains them, a task a family.

A family is a list of runs that share a beginning; its task is one command line.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import AfterValidator, Field

from ofa_bench.errors import BenchError, RecipeError, UsageError
from ofa_bench.hooks.policy import Options
from ofa_bench.recipe.load import validated
from ofa_bench.sanitize import printable
from ofa_bench.spec_files import load_toml
from ofa_bench.strict import shown

if TYPE_CHECKING:
    from ofa_bench.hooks.catalogue import Catalogue

PAGE = "docs/cluster.md has a file to begin with"


def _one_line(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("holds a line end or another control character")
    return text


Text = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_one_line)]


@dataclass(frozen=True)
class LaunchTask:
    """A family of runs, by their keys and titles, as one command: `words` follow `python -m
    ofa_bench`.

    Its stdout, one JSON document, goes to `answer`, and its stderr to `log`. `macs` are the
    training MACs of all its runs.
    """

    key: str
    runs: tuple[str, ...]
    titles: tuple[str, ...]
    words: tuple[str, ...]
    answer: Path
    log: Path
    macs: float = 0.0


@dataclass(frozen=True)
class LaunchBatch:
    """Tasks that are submitted together, numbered from 0.

    `name` is a legal job name that no other batch of these results has. Tasks run in `directory`
    with `variables` in their environment. `rates`: training MACs of a device-second, by "cpu" and
    "cuda", where a record or a calibration says it.
    """

    name: str
    folder: Path
    directory: Path
    tasks: tuple[LaunchTask, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)

    def checked(self) -> LaunchBatch:
        """The batch. Raises UsageError where a path or an option would not survive a script of
        lines."""
        words = [word for task in self.tasks for word in (*task.words, str(task.answer))]
        for word in (*words, str(self.directory), *self.variables.values()):
            if printable(word) != word:
                raise UsageError(
                    f"{shown(word)} holds characters that no script should hold",
                    "name files and folders without line ends and control characters",
                )
        return self


class QueueSilent(BenchError):
    """The queue did not answer: whether it took a batch is not known."""


@dataclass(frozen=True)
class QueueState:
    """What a queue says of one task: `ended` where it is over, however it ended."""

    state: Literal["queued", "running", "ended"]
    job: str = ""
    detail: str = ""


class Launcher(Protocol):
    """Registered as `catalogue.launcher(name, "package.module:Class")`, made with its options."""

    Options: ClassVar[Any]
    """A model derived from `ofa_bench.Options`: the keys of the site's file."""
    queues: ClassVar[bool]
    """Whether `submit` hands tasks to a queue. If not, the script is for whoever reads it."""
    devices: Sequence[str]
    """Devices of this machine, where this process trains the families itself; () otherwise."""

    def __init__(self, options: Any) -> None: ...

    def script(self, batch: LaunchBatch) -> str:
        """The text that would be submitted. Starts and writes nothing."""

    def submit(self, batch: LaunchBatch, script: Path) -> str:
        """Submit the script, a file by now, and return the job's name or number at once.

        Raises BenchError where the queue does not take it.
        """

    def states(self, names: Collection[str]) -> Mapping[tuple[str, int], QueueState]:
        """The state of each task, by batch name and number, that the queue knows.

        Raises BenchError where the queue cannot be asked.
        """


class LinesOptions(Options):
    """`python`: the interpreter of the lines; this one unless set."""

    python: Text = sys.executable


class LinesLauncher:
    """Prints one command a family of runs, for parallel, Kubernetes jobs or anything else."""

    Options: ClassVar[Any] = LinesOptions
    queues: ClassVar[bool] = False
    devices: Sequence[str] = ()

    def __init__(self, options: Any) -> None:
        self.options = options

    def script(self, batch: LaunchBatch) -> str:
        """One line a task, each for a POSIX shell."""
        python = getattr(self.options, "python", sys.executable)
        return "".join(f"{shell_command(batch, task, [python])}\n" for task in batch.tasks)

    def submit(self, batch: LaunchBatch, script: Path) -> str:
        """Nothing: the lines are printed."""
        return ""

    def states(self, names: Collection[str]) -> Mapping[tuple[str, int], QueueState]:
        """Nothing is known of lines before they have answered."""
        return {}


class LocalOptions(Options):
    """`devices`: those that runs are trained on side by side, as `--devices` names them."""

    devices: tuple[Annotated[Text, Field(pattern=r"^(cpu|cuda:\d{1,4})$")], ...] = Field(
        min_length=1, max_length=256
    )


class LocalLauncher(LinesLauncher):
    """Trains side by side on devices of this machine, as `--devices` does, and waits."""

    Options: ClassVar[Any] = LocalOptions

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.devices = tuple(options.devices)


def shell_command(batch: LaunchBatch, task: LaunchTask, python: Sequence[str]) -> str:
    """A task as one line of a POSIX shell."""
    settings = [f"{name}={value}" for name, value in batch.variables.items()]
    words = [*(["env", *settings] if settings else []), *python, "-m", "ofa_bench", *task.words]
    answer, log = shlex.quote(str(task.answer)), shlex.quote(str(task.log))
    directory = shlex.quote(str(batch.directory))
    return f"cd {directory} && {shlex.join(words)} >{answer} 2>>{log}"


def open_launcher(site: str, catalogue: Catalogue) -> Launcher:
    """The launcher of a site's file, whose key `launcher` names it; or one by its bare name.

    Raises UsageError: RecipeError with file, key and hint where the file is wrong, UnknownName.
    """
    path, values = Path(site), {"launcher": site}
    known = catalogue.names("launcher")
    if path.is_file() or site not in known:
        values = load_toml(path)
    name = values.pop("launcher", None)
    if not isinstance(name, str):
        hint = f'write launcher = "NAME", one of {", ".join(known)}; {PAGE}'
        raise RecipeError("is missing, or no name", file=site, key="launcher", hint=hint)
    launcher: Any = catalogue.get("launcher", name).load()
    try:
        options = validated(launcher.Options, values, "", {})
    except RecipeError as error:
        hint = f"{error.hint}; {PAGE}" if error.hint == "fix the value" else error.hint
        raise RecipeError(error.reason, file=site, key=error.key, hint=hint) from error
    made: Launcher = launcher(options)
    return made
