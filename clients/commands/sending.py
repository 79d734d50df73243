"""``gongwen unit send``, ``resume``, ``outbox``, ``recall``: the sending unit's side."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.commands.naming import IdArgument, dispatch_id_of, state_of, word_of
from clients.commands.options import HomeOption, JsonOption, SecretOption, open_hub, read_deadline
from clients.commands.progress import progress_bar
from clients.errors import OptionUnfit
from clients.exits import Exit
from clients.speech import _, plain, say, show_json, show_table, tell
from pki.text import N_, text

if TYPE_CHECKING:
    from clients.hub import Hub
    from exchange.protocol.api import DispatchView
    from exchange.protocol.dispatch import Metadata


def send(
    documents: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            exists=True,
            dir_okay=False,
            readable=True,
            help=_("The main document, then its attachments."),
        ),
    ],
    to: Annotated[
        list[str], typer.Option("--to", metavar="UNIT", help=_("主送: a receiving unit; repeat it."))
    ],
    title: Annotated[str, typer.Option("--title", help=_("Title (标题)."))],
    copy: Annotated[
        list[str] | None,
        typer.Option("--copy", "--cc", metavar="UNIT", help=_("抄送: a unit that gets a copy; repeat it.")),
    ] = None,
    number: Annotated[
        str | None, typer.Option("--number", help=_("Issued number (发文字号), like 府办发〔2026〕12号."))
    ] = None,
    urgency: Annotated[str | None, typer.Option("--urgency", help=_("特急, 加急 or 平件."))] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="NAME=VALUE", help=_("Another element of the metadata; repeat it.")),
    ] = None,
    due: Annotated[
        str, typer.Option("--due", metavar="WHEN", help=_("To be signed for by (签收期限): 3d, 12h, a day."))
    ] = "3d",
    expires: Annotated[
        str, typer.Option("--expires", metavar="WHEN", help=_("After this nobody can sign for it."))
    ] = "30d",
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="SPAN", help=_("Wait so long for all to sign for it; else exit 8.")),
    ] = None,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    now = datetime.now(UTC)
    metadata = _metadata(title, number, urgency, meta or [])
    due_at = read_deadline(due, option="--due", now=now)
    expires_at = read_deadline(expires, option="--expires", now=now)
    until = None if wait is None else read_deadline(wait, option="--wait", now=now)
    with open_hub(home, secret_file) as hub:
        with progress_bar(_("sending"), quiet=json) as progress:
            sent = hub.send(
                documents,
                to=to,
                copy=copy or (),
                metadata=metadata,
                due=due_at,
                expires=expires_at,
                progress=progress,
            )
        view = None if until is None else _wait_signed(hub, sent.dispatch_id, until)
    pending = view is not None and view.state == "IN_PROGRESS"
    if json:
        show_json(
            {
                "dispatch_id": sent.dispatch_id,
                "evidence_id": sent.answer.evidence_id,
                "receipt": str(sent.receipt.path),
                "consignments": [one.model_dump(mode="json") for one in sent.answer.consignments],
                **({} if view is None else {"state": view.state}),
            }
        )
        return Exit.PENDING if pending else Exit.DONE
    tell(text(N_("The hub has taken the dispatch {dispatch_id}."), dispatch_id=sent.dispatch_id))
    tell(text(N_("Its receipt was verified and is kept in {path}."), path=sent.receipt.path))
    if view is None:
        rows = [(one.consignment_id, one.recipient, one.role) for one in sent.answer.consignments]
        show_table([_("consignment"), _("recipient"), _("role")], rows)
    else:
        _show_dispatch(view)
    if pending:
        tell(text(N_("Not everybody has signed for it yet.")))
    return Exit.PENDING if pending else Exit.DONE


def _metadata(title: str, number: str | None, urgency: str | None, others: list[str]) -> Metadata:
    from dataclasses import fields

    from exchange.protocol.dispatch import Metadata

    values: dict[str, str] = {}
    known = {field.name for field in fields(Metadata)} - {"title", "issued_number", "urgency"}
    for one in others:
        name, equals, value = one.partition("=")
        if not equals or name not in known:
            detail = text(N_("write NAME=VALUE with a NAME of {names}"), names=", ".join(sorted(known)))
            raise OptionUnfit(option="--meta", detail=say(detail))
        values[name] = value
    return Metadata(title=title, issued_number=number, urgency=urgency, **values)


def _wait_signed(hub: Hub, dispatch_id: str, until: datetime) -> DispatchView:
    while True:
        view = hub.dispatch(dispatch_id)
        left = (until - datetime.now(UTC)).total_seconds()
        if view.state != "IN_PROGRESS" or left <= 0:
            return view
        time.sleep(min(5.0, left))


def resume(home: HomeOption = None, secret_file: SecretOption = None, json: JsonOption = False) -> int:
    with open_hub(home, secret_file) as hub:
        sent = [hub.submit(pending) for pending in hub.home.pending_dispatches()]
    if json:
        show_json([{"dispatch_id": one.dispatch_id, "receipt": str(one.receipt.path)} for one in sent])
    else:
        for one in sent:
            tell(text(N_("The hub has taken the dispatch {dispatch_id}."), dispatch_id=one.dispatch_id))
        if not sent:
            tell(text(N_("Nothing was waiting to be sent.")))
    return Exit.DONE


def outbox(
    identifier: Annotated[str | None, typer.Argument(metavar="[ID]", help=_("Show this dispatch."))] = None,
    state: Annotated[str | None, typer.Option("--state", help=_("Only those in this state."))] = None,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    with open_hub(home, secret_file) as hub:
        if identifier is not None:
            view = hub.dispatch(dispatch_id_of(hub, identifier))
            if json:
                show_json(view.model_dump(mode="json"))
            else:
                _show_dispatch(view)
            return Exit.DONE
        views = hub.whole_outbox(state=state)
    if json:
        show_json([view.model_dump(mode="json") for view in views])
    else:
        rows = [
            (
                view.dispatch_id,
                view.submitted_at,
                view.issued_number,
                view.title,
                _signed_share(view),
                word_of(view.state),
            )
            for view in views
        ]
        heads = [_("dispatch"), _("sent"), _("number"), _("title"), _("signed for"), _("state")]
        show_table(heads, rows)
    return Exit.DONE


def _signed_share(view: DispatchView) -> str:
    signed = sum(one.state in ("SIGNED_FOR", "REGISTERED") for one in view.consignments)
    return f"{signed}/{len(view.consignments)}"


def _show_dispatch(view: DispatchView) -> None:
    tell(plain(f"{view.issued_number or ''} {view.title}".strip()))
    rows = [
        (one.consignment_id, one.recipient, one.role, state_of(one), one.changed_at, one.last_evidence)
        for one in view.consignments
    ]
    heads = [_("consignment"), _("recipient"), _("role"), _("state"), _("since"), _("last evidence")]
    show_table(heads, rows)


def recall(
    identifier: IdArgument,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="CODE", help=_("sent-in-error, superseded or other."))
    ] = None,
    words: Annotated[str, typer.Option("--text", help=_("The reason in words, for the recipients."))] = "",
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    with open_hub(home, secret_file) as hub:
        outcomes = hub.recall(dispatch_id_of(hub, identifier), code=reason, text=words)
    if json:
        show_json(
            [
                {
                    "consignment_id": one.consignment_id,
                    "recipient": one.recipient,
                    "state": one.state,
                    "recalled": one.done is not None,
                    "receipt": None if one.done is None else str(one.done.receipt.path),
                }
                for one in outcomes
            ]
        )
    else:
        rows = [
            (
                one.consignment_id,
                one.recipient,
                word_of(one.state),
                _("recalled") if one.done is not None else _("too late") if one.refused else _("not needed"),
            )
            for one in outcomes
        ]
        show_table([_("consignment"), _("recipient"), _("state"), _("recall")], rows)
    return Exit.CONFLICT if any(one.refused is not None for one in outcomes) else Exit.DONE
