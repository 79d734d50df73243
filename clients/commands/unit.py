"""``gongwen unit enrol`` and what concerns the unit itself: who it is, whom it knows, its papers."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.commands.naming import IdArgument
from clients.commands.options import (
    HomeOption,
    JsonOption,
    SecretOption,
    checked_file,
    home_path,
    open_hub,
)
from clients.exits import Exit
from clients.speech import _, local_time, plain, show, show_json, show_table, tell
from pki.text import N_, text


def enrol(
    invitation: Annotated[
        Path, typer.Option("--invitation", metavar="FILE", help=_("The invitation from the hub's operator."))
    ],
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    from clients.enrolment import decode_invitation
    from clients.enrolment import enrol as run
    from clients.secret import read_secret

    invited = decode_invitation(checked_file(invitation, option="--invitation"))
    secret = read_secret(
        secret_file,
        environ=os.environ,
        prompt=f"{_('New secret for the keys of')} {plain(invited.name)}",
        confirm=_("The same once more"),
    )
    done = run(invited, home_path(home), secret=secret, now=lambda: datetime.now(UTC), jitter=random.random)
    if json:
        show_json(
            {
                "home": str(done.home),
                "unit": done.config.unit,
                "name": done.config.name,
                "origin": done.config.origin,
                "seal_expires": done.seal_expires,
                "tls_expires": done.tls_expires,
            }
        )
    else:
        tell(text(N_("{name} is enrolled at {origin}."), name=done.config.name, origin=done.config.origin))
        tell(text(N_("Its folder is {home}; keep a copy of keys/ and of the secret apart."), home=done.home))
        tell(text(N_("The seal's certificate is good until {at}."), at=local_time(done.seal_expires)))
    return Exit.DONE


def whoami(home: HomeOption = None, secret_file: SecretOption = None, json: JsonOption = False) -> int:
    with open_hub(home, secret_file) as hub:
        answer = hub.whoami()
    if json:
        show_json(answer.model_dump(mode="json"))
    else:
        show(plain(f"{answer.unit} {answer.name}"))
    return Exit.DONE


def directory(
    q: Annotated[str | None, typer.Argument(metavar="TEXT", help=_("Part of a code or a name."))] = None,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    with open_hub(home, secret_file) as hub:
        answer = hub.directory(q)
    if json:
        show_json(answer.model_dump(mode="json"))
    else:
        rows = [(one.unit, one.name, _("yes") if one.can_receive else _("no")) for one in answer.items]
        show_table([_("unit"), _("name"), _("can receive")], rows)
    return Exit.DONE


def refresh(home: HomeOption = None, secret_file: SecretOption = None, json: JsonOption = False) -> int:
    with open_hub(home, secret_file) as hub:
        lists = hub.refresh_trust()
    if json:
        show_json([{"list": one.name, "state": one.state, "next_update": one.next_update} for one in lists])
    else:
        show_table(
            [_("list"), _("state"), _("good until")],
            [(one.name, one.state, one.next_update) for one in lists],
        )
    return Exit.UNDECIDED if any(one.state == "refused" for one in lists) else Exit.DONE


def receipt(
    evidence_id: Annotated[str, typer.Argument(metavar="EVIDENCE_ID", help=_("Which evidence."))],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help=_("Put a copy there as well."))
    ] = None,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    with open_hub(home, secret_file) as hub:
        checked = hub.receipt(evidence_id)
    if output is not None:
        output.write_bytes(checked.raw)
    evidence = checked.evidence
    if json:
        show_json(
            {
                "evidence_id": evidence.evidence_id,
                "event": evidence.event.wire,
                "event_time": evidence.event_time,
                "consignment_id": evidence.consignment_id,
                "verdict": checked.report.verdict.value,
                "receipt": str(output or checked.path),
            }
        )
    else:
        tell(text(N_("{event} at {at}"), event=evidence.event.wire, at=local_time(evidence.event_time)))
        tell(text(N_("Its receipt was verified and is kept in {path}."), path=output or checked.path))
    return Exit.DONE


def package(
    identifier: IdArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help=_("Where to put it; else ID.asice."))
    ] = None,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    with open_hub(home, secret_file) as hub:
        path = Path(f"{identifier}.asice") if output is None else output
        hub.package(identifier, path)
    if json:
        show_json({"package": str(path)})
    else:
        tell(text(N_("The package is {path}. To check it: gongwen verify {path}"), path=path))
    return Exit.DONE
