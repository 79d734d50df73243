"""``gongwen verify``: the verdict on files, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.commands.options import AtOption, JsonOption, read_time
from clients.errors import OptionUnfit
from clients.speech import _, say, show, show_json
from pki.text import N_, text

if TYPE_CHECKING:
    from signing.report import FileReport


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help=_("Files, or folders with everything in them.")),
    ],
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            metavar="DIR",
            help=_("Trust folder: anchors/ intermediates/ crls/ ledger.policy. Else the configured one."),
        ),
    ] = None,
    at: AtOption = None,
    content: Annotated[
        Path | None,
        typer.Option(
            "--content",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help=_("What a signature file is over, where it does not stand beside it."),
        ),
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", metavar="P", help=_("Which rules judge; there is 'default'."))
    ] = "default",
    offline: Annotated[
        bool, typer.Option("--offline", help=_("Accepted for clarity: verifying never fetches anything."))
    ] = False,
    steps: Annotated[bool, typer.Option("--steps", help=_("Show the checks that passed too."))] = False,
    json: JsonOption = False,
) -> int:
    from datetime import UTC, datetime

    from clients.exits import OF_VERDICT
    from clients.pdf import PdfJudge
    from clients.verdicts import lines
    from clients.verify import POLICIES, Court, default_trust, verify_folder, verify_path
    from pki.storage.trust import read_trust_folder
    from signing.report import Verdict, report_json, worst

    if policy not in POLICIES:
        detail = text(N_("choose one of {choices}"), choices=", ".join(POLICIES))
        raise OptionUnfit(option="--policy", detail=say(detail))
    if content is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise OptionUnfit(option="--content", detail=N_("goes with one signature file"))
    for path in paths:
        if not path.exists():
            raise OptionUnfit(option=str(path), detail=N_("there is no such file"))
    judged_at = None if at is None else read_time(at, option="--at")
    folder = default_trust() if trust is None else read_trust_folder(trust)
    reports: list[FileReport] = []
    with PdfJudge() as pdfs:
        court = Court(folder, datetime.now(UTC), judged_at, pdfs)
        for path in paths:
            if path.is_dir():
                reports += verify_folder(path, court)
            else:
                reports.append(verify_path(path, court, content=content))
    if json:
        values = [report_json(report, say=say) for report in reports]
        single = len(paths) == 1 and not paths[0].is_dir()
        show_json(values[0] if single else values)
    else:
        for report in reports:
            for line in lines(report, steps=steps):
                show(line)
    return OF_VERDICT[worst((report.verdict for report in reports), default=Verdict.NO_SEAL)]
