"""``gongwen unit inbox``, ``fetch``, ``sign-for``, ``return``: the receiving unit's side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.commands.naming import IdArgument, consignment_id_of, state_of
from clients.commands.options import HomeOption, JsonOption, SecretOption, open_hub
from clients.commands.progress import progress_bar
from clients.errors import OptionUnfit
from clients.exits import Exit
from clients.speech import _, plain, say, show_json, show_table, tell
from pki.text import N_, text

if TYPE_CHECKING:
    from clients.operations import Acted
    from exchange.protocol.api import ConsignmentView


def inbox(
    identifier: Annotated[
        str | None, typer.Argument(metavar="[ID]", help=_("Show this consignment."))
    ] = None,
    state: Annotated[str | None, typer.Option("--state", help=_("Only those in this state."))] = None,
    watch: Annotated[bool, typer.Option("--watch", help=_("Go on, and print what comes."))] = False,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    if watch and json:
        raise OptionUnfit(option="--watch", detail=N_("does not go with --json: it has no end"))
    with open_hub(home, secret_file) as hub:
        if identifier is not None:
            view = hub.consignment(consignment_id_of(hub, identifier))
            if json:
                show_json(view.model_dump(mode="json"))
            else:
                _show_consignment(view)
            return Exit.DONE
        heads = [_("consignment"), _("state"), _("due"), _("sender"), _("number"), _("title")]
        if watch:
            show_table(heads, [])
            for view in hub.watch():
                if state is None or view.state == state:
                    show_table((), [_inbox_row(view)])
                    sys.stdout.flush()
        views = hub.whole_inbox(state=state)
    if json:
        show_json([view.model_dump(mode="json") for view in views])
    else:
        show_table(heads, [_inbox_row(view) for view in views])
    return Exit.DONE


def _inbox_row(view: ConsignmentView) -> tuple[object, ...]:
    return (view.consignment_id, state_of(view), view.due_at, view.sender, view.issued_number, view.title)


def _show_consignment(view: ConsignmentView) -> None:
    tell(plain(f"{view.issued_number or ''} {view.title}".strip()))
    tell(plain(f"{view.sender} → {view.recipient}: {state_of(view)}"))
    show_table(
        [_("document"), _("size"), _("digest")], [(one.name, one.size, one.digest) for one in view.documents]
    )
    show_table(
        [_("evidence"), _("event"), _("recorded")],
        [(one.evidence_id, one.event, one.recorded_at) for one in view.evidence],
    )


def fetch(
    identifier: IdArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help=_("Where to put it; else a folder of its ID.")),
    ] = None,
    verify: Annotated[bool, typer.Option(help=_("Judge the seals on the documents as well."))] = True,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    from contextlib import suppress
    from datetime import UTC, datetime

    from clients.errors import HubError
    from clients.exits import OF_VERDICT
    from clients.pdf import PdfJudge
    from clients.trust import is_stale
    from clients.verdicts import lines
    from clients.verify import Court
    from signing.report import Verdict, report_json, worst

    with open_hub(home, secret_file) as hub:
        consignment_id = consignment_id_of(hub, identifier)
        if is_stale(hub.home.trust.store, datetime.now(UTC)):
            # Without current lists every seal would be undecided; without the hub's help it still is.
            with suppress(HubError):
                hub.refresh_trust()
        folder = Path(consignment_id) if output is None else output
        with PdfJudge() as pdfs, progress_bar(_("fetching"), quiet=json) as progress:
            court = Court(hub.home.trust, datetime.now(UTC), pdfs=pdfs)
            fetched = hub.fetch(
                consignment_id, folder, judge=court.judge if verify else None, progress=progress
            )
    reports = [fetched.envelope, *(one.report for one in fetched.documents if one.report is not None)]
    # An attachment need bear no seal; the main document's is the sending unit's own affair with the hub.
    verdict = worst(
        (one.verdict for one in reports if one.verdict is not Verdict.NO_SEAL), default=Verdict.VALID
    )
    if json:
        show_json(
            {
                "consignment_id": consignment_id,
                "folder": str(fetched.folder),
                "state": None if fetched.handed_over is None else fetched.handed_over.answer.state,
                "receipt": None if fetched.handed_over is None else str(fetched.handed_over.receipt.path),
                "envelope": report_json(fetched.envelope, say=say),
                "documents": [
                    {
                        "name": one.document.name,
                        "path": str(one.path),
                        "digest": one.document.digest,
                        "report": None if one.report is None else report_json(one.report, say=say),
                    }
                    for one in fetched.documents
                ],
            }
        )
        return OF_VERDICT[verdict]
    for report in reports:
        for line in lines(report):
            tell(line)
    show_table([_("document"), _("path")], [(one.document.name, one.path) for one in fetched.documents])
    if fetched.handed_over is not None:
        tell(text(N_("The hand-over is recorded; receipt: {path}"), path=fetched.handed_over.receipt.path))
    tell(text(N_("Next: gongwen unit sign-for {id}, or gongwen unit return {id}"), id=consignment_id))
    return OF_VERDICT[verdict]


def sign_for(
    identifier: IdArgument,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    with open_hub(home, secret_file) as hub:
        done = hub.sign_for(consignment_id_of(hub, identifier))
    return _show_act(done, json=json, sentence=N_("Signed for: {consignment_id}"))


def return_(
    identifier: IdArgument,
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            metavar="CODE",
            help=_(
                "wrong-recipient, not-our-competence, duplicate, illegible, incomplete, format-wrong, "
                "content-wrong or other."
            ),
        ),
    ],
    words: Annotated[str, typer.Option("--text", help=_("The reason in words, for the sender."))],
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    with open_hub(home, secret_file) as hub:
        done = hub.return_(consignment_id_of(hub, identifier), code=reason, text=words)
    return _show_act(done, json=json, sentence=N_("Returned: {consignment_id}"))


def _show_act(done: Acted, *, json: bool, sentence: str) -> int:
    answer = done.answer
    if json:
        show_json(
            {
                "consignment_id": answer.consignment_id,
                "state": answer.state,
                "evidence_id": answer.evidence_id,
                "receipt": str(done.receipt.path),
            }
        )
    else:
        tell(text(sentence, consignment_id=answer.consignment_id))
        tell(text(N_("Its receipt was verified and is kept in {path}."), path=done.receipt.path))
    return Exit.DONE
