"""`ofa-bench publish`: an exported folder, sent to a hub."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import json_option
from ofa_bench.formatting import count

if TYPE_CHECKING:
    from ofa_bench.deploy.hub import Publication


@click.command()
@click.argument("folder", metavar="DIR")
@click.argument("name", metavar="hf:USER/NAME")
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@click.option("--yes", is_flag=True, help="Send without asking.")
@json_option
def command(folder: str, name: str, private: bool, yes: bool, as_json: bool) -> None:
    """Send an exported folder to a hub.

    DIR is what export wrote; its README.md becomes the model card. What would be sent, and where,
    is shown first, and nothing is sent before it is confirmed. `hf auth login` keeps the token.
    """
    from ofa_bench import api
    from ofa_bench.errors import UsageError

    shown: list[Publication] = []

    def confirmed(publication: Publication) -> bool:
        shown.append(publication)
        _tell(publication)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError("nothing was sent: nobody can be asked here", "add --yes to send it")
        return console.confirm("send it?")

    address = api.publish(folder, name, private=private, confirm=confirmed)
    sent = [file for file, _ in shown[0].files] if address else []
    document = {"repository": shown[0].repository, "address": address, "files": sent}
    console.result(as_json, document, address or "nothing was sent")


def _tell(publication: Publication) -> None:
    kind = "private" if publication.private else "public"
    console.tell(
        f"to {publication.endpoint}/{publication.repository} ({kind} if it is new): "
        f"{len(publication.files)} files, {count(publication.size)}B"
    )
    for file, size in publication.files:
        console.tell(f"  {file}  {count(size)}B")
