"""The `ofa-bench` command: its commands, and what is printed for each kind of failure."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from ofa_bench import __version__
from ofa_bench.cli import console
from ofa_bench.cli.streams import outlive_streams, tell_terminal
from ofa_bench.errors import BenchError, RankFailed, UsageError, nearest
from ofa_bench.limits import override
from ofa_bench.processes import other_rank, several_ranks
from ofa_bench.sanitize import plain_text

# Files of `commands/`, in the order a user meets them: the last word is the command's name.
FILES = (
    *("training.run", "training.compare", "training.ablate", "training.plan", "training.resume"),
    *("results.runs", "results.show", "results.evaluate", "deploy.search", "deploy.truth"),
    *("deploy.latency", "deploy.export", "deploy.adopt", "deploy.finetune", "deploy.publish"),
    *("catalogue.list", "catalogue.space", "catalogue.data", "results.board", "results.validate"),
    *("results.report", "results.site", "training.reproduce", "results.records"),
    *("catalogue.plugin",),
)
LAZY_COMMANDS = {file.partition(".")[2]: f"ofa_bench.cli.commands.{file}" for file in FILES}
INTERRUPTED = 130


class LazyGroup(click.Group):
    """Commands that are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(LAZY_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in LAZY_COMMANDS:
            return None
        command: click.Command = importlib.import_module(LAZY_COMMANDS[cmd_name]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a misspelt name is met with the nearest one."""
        name = args[0]
        if name not in LAZY_COMMANDS and not name.startswith("-"):
            guess = nearest(name, LAZY_COMMANDS)
            tip = f"Did you mean {guess}?" if guess else f"There are: {', '.join(LAZY_COMMANDS)}."
            raise click.UsageError(f"No such command {name!r}. {tip}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="ofa-bench")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace a bound on what a file may make the program spend (docs/security.md).",
)
@click.pass_context
def cli(ctx: click.Context, limits: tuple[str, ...]) -> None:
    """Train and compare once-for-all supernet methods: one loop, one space, one board."""
    if limits:
        override(limits)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    gc.set_threshold(20_000, 20, 20)  # imports and listings make many objects, and no cycles
    outlive_streams()
    with console.speaking(as_json="--json" in words, heard=not other_rank()):
        try:
            code: Any = cli.main(words, prog_name="ofa-bench", standalone_mode=False, obj=words)
            return code if isinstance(code, int) else 0
        except click.ClickException as error:
            vars(error)["message"] = plain_text(error.message, console.LONGEST)
            error.show()
            return console.refuse(error.format_message(), "", error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            return _failed(BenchError("interrupted"), INTERRUPTED)
        except BenchError as error:
            return _failed(_ranked(error), error.exit_code)
        except Exception as error:
            failure = explained(error)
            failure.rank = getattr(error, "rank", None)
            return _failed(_ranked(failure), failure.exit_code)


def _ranked(error: BenchError) -> BenchError:
    """Among ranks: the error as this rank reports it, which the first to fail does."""
    known = error.rank is not None or error.on_all_ranks or isinstance(error, RankFailed)
    if known or not several_ranks():
        return error
    from ofa_bench.training.devices import failure_outside

    return failure_outside(error)


def _failed(error: BenchError, code: int) -> int:
    if not console.heard() and error.rank is not None:
        with console.heard_after_all():
            console.complain(error.message, error.hint)
        return code
    if os.environ.get("OFA_BENCH_DEBUG", "") not in ("", "0"):
        import traceback

        console.tell(traceback.format_exc().rstrip())
    for note in getattr(error, "__notes__", ()):
        console.tell(note)  # the lines of a plugin's author
    if code == INTERRUPTED:
        lines = [plain_text(part, console.LONGEST) for part in (error.message, error.hint) if part]
        console.tell("\n".join(lines))
        tell_terminal("\n".join(lines))
    else:
        console.complain(error.message, error.hint)
    return console.refuse(error.message, error.hint, code)


def explained(error: Exception) -> BenchError:
    """A sentence for what no part of the program foresaw."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return BenchError("out of memory", "lower optim.norm_batch or evaluate.chunk")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return BenchError(
            "the system starts no more threads for this process",
            "raise its limits (ulimit -v for memory, ulimit -u for processes)",
        )
    if isinstance(error, RecursionError):
        return UsageError("the input is nested too deeply", "write it flatter")
    if _lacks_descriptors(error):
        return BenchError(
            "this process may open no more files",
            "raise the limit with `ulimit -n 4096` in this shell, or use fewer --workers",
        )
    if isinstance(error, OSError) and error.filename is not None:
        reason = (error.strerror or type(error).__name__).lower()
        return BenchError(
            f"{error.filename}: {reason}", "check that the path exists and may be read and written"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return BenchError("no space left where the output goes", "free some, or send it elsewhere")
    return BenchError(
        f"{type(error).__name__}: {error}", "this is a bug; OFA_BENCH_DEBUG=1 shows where"
    )


def _lacks_descriptors(error: BaseException | None) -> bool:
    """Whether a limit on open files was met; torch's workers tell it as an error of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        if "Too many open files" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
