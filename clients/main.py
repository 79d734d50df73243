"""The ``gongwen`` script: which commands there are and how each is explained.

Loading this module loads no cryptography, no HTTP and no PDF library: a command
imports what it runs when it runs, so that ``gongwen --help`` and completion answer at
once. What the commands do stands in ``clients.commands``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from clients.commands import hub, ledger, other, receiving, seal, sending, unit, verify
from clients.speech import _


def _group(name: str, sentence: str) -> typer.Typer:
    group = typer.Typer(name=name, no_args_is_help=True, rich_markup_mode=None, help=sentence)
    app.add_typer(group)
    return group


def _add(
    group: typer.Typer,
    name: str,
    run: Callable[..., int],
    sentence: str,
    *examples: str,
    hidden: bool = False,
) -> None:
    """Register a command; its help begins with the examples."""
    shown = "\n".join(f"  gongwen {example}" for example in examples)
    help_ = f"\b\n{_('Examples:')}\n{shown}\n\n{sentence}"
    group.command(name, help=help_, short_help=sentence, hidden=hidden)(run)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"gongwen {version('gongwen')}")
        raise typer.Exit()


app = typer.Typer(
    name="gongwen",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(
    help=_(
        "Sealed official documents between units, with receipts that anyone can check. "
        "Exit codes: 0 done or valid, 1 other failure, 2 usage, 3 not valid, 4 not allowed, "
        "5 cannot be decided, 6 wrong state or conflict, 7 network or server, 8 still pending."
    )
)
def _main(
    lang: Annotated[
        str | None, typer.Option("--lang", metavar="zh|en", help=_("Language; else that of the locale."))
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help=_("Show the version."))
    ] = False,
) -> None:
    # --lang was obeyed before this module was loaded: help texts are made at import.
    del lang, version


_add(
    app,
    "demo",
    other.demo,
    _("Watch the whole journey of a dispatch on this machine."),
    "demo",
    "demo --dir /tmp/gongwen-demo --keep",
)
_add(
    app,
    "verify",
    verify.verify,
    _("Judge PDFs, signature files, receipts and dispatch packages."),
    "verify notice.pdf",
    "verify --trust trust/ --json *.receipt.asics",
    "verify contract.docx.p7s --content contract.docx --at 2026-11-21T20:00:00Z",
)
_add(
    app,
    "seal",
    seal.seal,
    _("Put the unit's seal on a document."),
    "seal notice.pdf",
    "seal notice.pdf --at last,130,220 -o sealed.pdf",
    "seal table.xlsx --detached",
)
_add(
    app,
    "bench",
    other.bench,
    _("Measure this machine now."),
    "bench hub --json",
)

units = _group("unit", _("A unit's day: enrol, send, receive, sign for, return, recall."))
_UNIT: tuple[tuple[str, Callable[..., int], str, tuple[str, ...]], ...] = (
    (
        "enrol",
        unit.enrol,
        _("Join a hub with the invitation of its operator."),
        ("unit enrol --invitation invitation.json",),
    ),
    (
        "send",
        sending.send,
        _("Send documents; come back with the verified receipt."),
        (
            "unit send notice.pdf --to 11310000000000000X --title 关于…的通知",
            "unit send main.pdf annex.xlsx --to UNIT --cc UNIT --title T --number 府办发〔2026〕12号",
            "unit send notice.pdf --to UNIT --title T --urgency 特急 --due 12h --wait 2h",
        ),
    ),
    ("resume", sending.resume, _("Send what was sealed and has no receipt yet."), ("unit resume",)),
    (
        "outbox",
        sending.outbox,
        _("What was sent, and who has signed for it."),
        ("unit outbox", "unit outbox 府办发〔2026〕12号", "unit outbox --state IN_PROGRESS --json"),
    ),
    (
        "inbox",
        receiving.inbox,
        _("What has come."),
        ("unit inbox", "unit inbox --state CONSIGNED", "unit inbox --watch"),
    ),
    (
        "fetch",
        receiving.fetch,
        _("Take the documents, checked; the hand-over is recorded."),
        ("unit fetch 019324ab", "unit fetch 府办发〔2026〕12号 -o in/"),
    ),
    (
        "sign-for",
        receiving.sign_for,
        _("Sign for a dispatch (签收)."),
        ("unit sign-for 019324ab",),
    ),
    (
        "return",
        receiving.return_,
        _("Send a dispatch back with a reason (退文)."),
        ("unit return 019324ab --reason wrong-recipient --text 应送市财政局",),
    ),
    (
        "recall",
        sending.recall,
        _("Take a dispatch back (撤回), as far as nobody has signed for it."),
        ("unit recall 019324ab", "unit recall 府办发〔2026〕12号 --reason sent-in-error --text 附件有误"),
    ),
    (
        "receipt",
        unit.receipt,
        _("Get the receipt of an evidence, verified."),
        ("unit receipt 019324ab-7c21-7d03-9d3c-0c8a5e4b6f10 -o e10.receipt.asics",),
    ),
    (
        "package",
        unit.package,
        _("Get everything about a dispatch in one file."),
        ("unit package 019324ab-7c21-7d03-9d3c-0c8a5e4b6f10 -o notice.asice",),
    ),
    ("directory", unit.directory, _("Look units up."), ("unit directory", "unit directory 教育局")),
    ("whoami", unit.whoami, _("Ask whom the hub takes us for."), ("unit whoami",)),
    ("refresh", unit.refresh, _("Get the current revocation lists."), ("unit refresh",)),
)
for _name, _run, _sentence, _examples in _UNIT:
    _add(units, _name, _run, _sentence, *_examples)
    # The short form, for hands that type it all day.
    _add(app, _name, _run, _sentence, *_examples, hidden=True)

ledgers = _group("ledger", _("The auditor's side: audit, copy, prove."))
_add(
    ledgers,
    "audit",
    ledger.audit,
    _("Check a whole ledger, every byte of it."),
    "ledger audit demo/ledger --policy demo/trust/ledger.policy",
    "ledger audit https://hub.example.gov:8444/ledger --policy ledger.policy --ca anchors.pem",
)
_add(
    ledgers,
    "export",
    ledger.export,
    _("Copy a ledger into a folder, hashed again on the way."),
    "ledger export copy/ --from https://hub.example.gov:8444/ledger --policy ledger.policy",
)
_add(
    ledgers,
    "prove",
    ledger.prove,
    _("Show that an evidence is in the ledger."),
    "ledger prove 019324ab-7c21-7d03-9d3c-0c8a5e4b6f10 --receipts demo/receipts --policy ledger.policy",
    "ledger prove e10.receipt.asics",
)

hubs = _group("hub", _("Run a hub."))
_add(
    hubs,
    "init",
    hub.init,
    _("Make a hub with its certification authority."),
    "hub init /srv/gongwen --origin hub.example.gov --unit 11310000000000000X --name 临江市人民政府办公室",
)
_add(
    hubs,
    "serve",
    hub.serve,
    _("Run it until it is told to stop."),
    "hub serve --config /srv/gongwen/hub.toml",
    "hub serve --config /srv/gongwen/hub.toml --processes 4",
)
_add(
    hubs,
    "doctor",
    hub.doctor,
    _("Look at everything that it needs, and say what to do."),
    "hub doctor --config /srv/gongwen/hub.toml",
)

_add(
    hubs,
    "migrate",
    hub.migrate,
    _("Bring the database to the schema of this program."),
    "hub migrate --config /srv/gongwen/hub.toml",
)

authority = _group("pki", _("Certificates of the hub's units."))
for _place in (hubs, authority):
    _word = _place.info.name
    _add(
        _place,
        "invite",
        hub.invite,
        _("Invite a unit; what comes out enrols it once."),
        f"{_word} invite 11310000000000000X --name 临江市教育局 --config hub.toml -o invitation.json",
    )
    _add(
        _place,
        "revoke",
        hub.revoke,
        _("Revoke a unit's certificates."),
        f"{_word} revoke 11310000000000000X --reason keyCompromise --config hub.toml",
    )
_add(
    authority,
    "crl",
    hub.revocation_lists,
    _("Show the revocation lists; sign anew what is due."),
    "pki crl --config hub.toml",
    "pki crl --config hub.toml --root-secret-file /media/safe/root-secret",
)
_add(
    authority,
    "list",
    hub.list_certificates,
    _("Show the certificates that were issued."),
    "pki list --config hub.toml",
)
