"""The command line is a contract: options come and go on purpose, with the list beside this."""

from __future__ import annotations

from pathlib import Path

import click

from ofa_bench.cli.main import cli

FROZEN = Path(__file__).with_name("cli.txt")


def spelled(command: click.Command, path: str) -> list[str]:
    """A line per argument and option of a command and of those below it."""
    lines = []
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in sorted(command.list_commands(ctx)):
            inner = command.get_command(ctx, name)
            assert inner is not None
            lines += spelled(inner, f"{path} {name}")
        return lines
    lines.append(path)
    for param in command.params:
        shape = " repeatable" if param.multiple else ""
        shape += " required" if param.required else ""
        lines.append(f"{path} {'/'.join(param.opts)}{shape}")
    return sorted(lines)


def test_options_are_those_of_the_list() -> None:
    assert spelled(cli, "ofa-bench") == FROZEN.read_text(encoding="utf-8").splitlines()


def test_every_command_answers_in_json() -> None:
    commands = {line.partition(" -")[0] for line in spelled(cli, "ofa-bench") if " -" in line}
    lines = spelled(cli, "ofa-bench")
    assert all(f"{command} --json" in lines for command in commands)


def test_every_option_of_a_run_is_explained() -> None:
    ctx = click.Context(cli)
    run = cli.get_command(ctx, "run")
    assert run is not None
    silent = [param.name for param in run.params if not getattr(param, "help", None)]
    assert silent == []
