"""``gongwen seal``: the unit's seal on a document, or beside any file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clients.commands.options import HomeOption, JsonOption, SecretOption, open_home
from clients.errors import OptionUnfit
from clients.exits import Exit
from clients.speech import _, show_json, tell
from pki.text import N_, text


def seal(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help=_("What to seal."))
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help=_("Where to put it; else NAME.sealed.pdf, FILE.p7s.")
        ),
    ] = None,
    place: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="PAGE,X,Y",
            help=_("The stamp's middle: page (or last), mm from the left and top."),
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help=_("Why, written into the seal."))] = None,
    detached: Annotated[
        bool, typer.Option("--detached", help=_("A signature file beside it, for a PDF too."))
    ] = False,
    stamp: Annotated[bool, typer.Option(help=_("Show the red stamp on the page."))] = True,
    further_seals: Annotated[
        bool, typer.Option("--further-seals", help=_("Other units may add their seals after this one."))
    ] = False,
    force: Annotated[bool, typer.Option("--force", help=_("Replace OUT if it is there."))] = False,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    from clients.sealing import default_output, read_place, seal_file

    target = default_output(file, detached=detached) if output is None else output
    if target.exists() and not force:
        raise OptionUnfit(option=str(target), detail=N_("it is there already; --force replaces it"))
    where = None if place is None else read_place(place)
    opened = open_home(home, secret_file)
    made = seal_file(
        opened,
        file,
        target,
        detached=detached,
        place=where,
        reason=reason,
        stamp=stamp,
        further_seals=further_seals,
    )
    if json:
        show_json({"file": str(file), "sealed": str(target), "format": made, "signer": opened.config.name})
    else:
        tell(text(N_("Sealed by {name}: {path}"), name=opened.config.name, path=target))
    return Exit.DONE
