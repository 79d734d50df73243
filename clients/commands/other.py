"""``gongwen demo`` and ``gongwen bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.commands.hub import hub_extra
from clients.commands.options import JsonOption
from clients.exits import Exit
from clients.speech import _, show_json, show_table


def demo(
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help=_("Where to do it; else a temporary folder."))
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help=_("Leave everything there afterwards."))] = False,
    document: Annotated[
        Path | None,
        typer.Option(
            "--document",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help=_("Send this PDF of yours as well."),
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    with hub_extra():
        from clients.demo import run

        return run(folder=folder, keep=keep, as_json=json, document=document)


def bench(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help=_("hub, ledger, verify, seal, pki or console."))
    ],
    json: JsonOption = False,
) -> int:
    with hub_extra():
        from clients.bench import run

        result = run(subject)
    if json:
        show_json(result)
    else:
        rows = [(one["name"], one["value"], one["unit"]) for one in result["figures"]]
        show_table([_("figure"), _("value"), _("unit of measure")], rows)
    return Exit.DONE
