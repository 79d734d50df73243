"""``gongwen ledger …``: what an auditor runs, without trusting whoever serves the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.commands.options import HomeOption, JsonOption, SecretOption, checked_file, open_hub
from clients.commands.progress import progress_bar
from clients.errors import OptionUnfit
from clients.exits import Exit
from clients.speech import _, local_time, say, show, show_json, tell
from pki.text import N_, Text, text

if TYPE_CHECKING:
    from cryptography import x509

    from exchange.ledger.audit import AuditReport
    from exchange.ledger.policy import Policy

PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help=_("The ledger's policy file; else the trust folder's.")),
]
CaOption = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help=_("Trust anchors (PEM) for https; else the trust folder's.")),
]


def audit(
    place: Annotated[str, typer.Argument(metavar="URL|DIR", help=_("Where the ledger's files are."))],
    policy: PolicyOption = None,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(
            "--earlier",
            metavar="FILE",
            help=_("A checkpoint or receipt kept from before; the ledger must still contain it. Repeat it."),
        ),
    ] = None,
    ca: CaOption = None,
    json: JsonOption = False,
) -> int:
    import random

    from clients import auditor

    rules = _policy(policy)
    kept = auditor.earlier_checkpoints(tuple(earlier or ()), rules)
    source = auditor.open_source(place, rules, anchors=_anchors(ca), jitter=random.random)
    with progress_bar(_("auditing"), quiet=json) as progress:
        report = auditor.audit(source, rules, earlier=kept, progress=progress)
    if json:
        show_json(_audit_json(report))
    else:
        _show_audit(report)
    return _AUDIT_EXITS[report.outcome.value]


_AUDIT_EXITS = {
    "proven": Exit.DONE,
    "wrong": Exit.NOT_VALID,
    "incomplete": Exit.UNDECIDED,
    "unreachable": Exit.NETWORK,
}
"""FORMATS §8."""


def _audit_json(report: AuditReport) -> dict[str, object]:
    from base64 import b64encode

    head = None if report.verified is None else report.verified.checkpoint
    return {
        "outcome": report.outcome.value,
        "origin": None if head is None else head.origin,
        "size": None if head is None else head.size,
        "root": None if head is None else b64encode(head.root).decode(),
        "entries": report.entries,
        "files": report.files,
        "cosigned_by": []
        if report.verified is None
        else [one.witness for one in report.verified.cosignatures],
        "proven_at": None if report.verified is None else report.verified.proven_at,
        "findings": [
            {
                "path": one.path,
                "outcome": one.outcome.value,
                "code": one.error.code,
                "text": say(Text(one.error.template, one.error.fields)),
            }
            for one in report.findings
        ],
    }


_OUTCOMES = {
    "proven": N_("The ledger holds: {entries} entries, every one under the signed checkpoint."),
    "wrong": N_("The ledger is proven wrong. Keep a copy of everything."),
    "incomplete": N_("Something is missing; nothing is proven either way."),
    "unreachable": N_("The ledger could not be read; trying again may help."),
}


def _show_audit(report: AuditReport) -> None:
    for finding in report.findings:
        sentence = Text(finding.error.template, finding.error.fields)
        show(f"{finding.path or '-'}\t{finding.error.code}\t{say(sentence)}")
    tell(text(_OUTCOMES[report.outcome.value], entries=report.entries))
    if report.verified is not None:
        head = report.verified.checkpoint
        tell(text(N_("Checkpoint of {origin} over {size} entries."), origin=head.origin, size=head.size))


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=_("An empty or new folder for the files."))],
    origin: Annotated[str, typer.Option("--from", metavar="URL|DIR", help=_("Where the files are now."))],
    policy: PolicyOption = None,
    ca: CaOption = None,
    json: JsonOption = False,
) -> int:
    import random

    from clients import auditor

    rules = _policy(policy)
    source = auditor.open_source(origin, rules, anchors=_anchors(ca), jitter=random.random)
    with progress_bar(_("copying"), quiet=json) as progress:
        verified = auditor.export(source, rules, folder, progress=progress)
    head = verified.checkpoint
    if json:
        show_json({"folder": str(folder), "origin": head.origin, "size": head.size})
    else:
        tell(
            text(
                N_("{size} entries of {origin} are in {folder}."),
                size=head.size,
                origin=head.origin,
                folder=folder,
            )
        )
    return Exit.DONE


def prove(
    identifier: Annotated[
        str, typer.Argument(metavar="ID|FILE", help=_("An evidence's identifier, or a receipt file."))
    ],
    receipts: Annotated[
        Path | None, typer.Option("--receipts", metavar="DIR", help=_("A folder to look for the receipt in."))
    ] = None,
    policy: PolicyOption = None,
    home: HomeOption = None,
    secret_file: SecretOption = None,
    json: JsonOption = False,
) -> int:
    from base64 import b64encode

    from clients.auditor import prove as run

    data, rules = _receipt(identifier, receipts, home, secret_file), _policy_bytes(policy)
    proof = run(data, rules)
    if json:
        show_json(
            {
                "origin": proof.origin,
                "index": proof.index,
                "size": proof.size,
                "root": b64encode(proof.root).decode(),
                "kind": proof.entry.kind,
                "time": proof.entry.t,
                "commit": proof.entry.commit,
                "cosigned_by": list(proof.cosigned_by),
                "proven_at": proof.proven_at,
            }
        )
        return Exit.DONE
    sentence = N_("Entry {index} of {origin}, under the signed checkpoint of {size} entries.")
    tell(text(sentence, index=proof.index, origin=proof.origin, size=proof.size))
    show(f"{proof.entry.kind}\t{local_time(proof.entry.t)}\t{proof.entry.commit}")
    if proof.cosigned_by:
        tell(text(N_("Cosigned by {names}."), names=", ".join(proof.cosigned_by)))
    tell(text(N_("The signatures in the receipt were not judged; gongwen verify does that.")))
    return Exit.DONE


def _receipt(identifier: str, folder: Path | None, home: Path | None, secret_file: Path | None) -> bytes:
    """The receipt: of a file, of a folder, of the unit's own folder, else from the hub."""
    from clients.commands.options import home_path
    from exchange.protocol.identifiers import is_uuid7

    if Path(identifier).is_file():
        return checked_file(Path(identifier), option="ID|FILE")
    if not is_uuid7(identifier):
        raise OptionUnfit(option=identifier, detail=N_("neither a file nor an evidence's identifier"))
    name = f"{identifier}.receipt.asics"
    for place in (folder, home_path(home) / "receipts"):
        if place is not None:
            found = sorted(place.rglob(f"*{name}")) if place.is_dir() else []
            if found:
                return checked_file(found[0], option="ID")
    if folder is not None:
        raise OptionUnfit(option="--receipts", detail=text(N_("no {name} in it"), name=name))
    with open_hub(home, secret_file) as hub:
        return hub.receipt(identifier).raw


def _policy_bytes(file: Path | None) -> bytes:
    from clients.verify import default_trust

    if file is not None:
        return checked_file(file, option="--policy")
    policy = default_trust().ledger_policy
    if policy is None:
        raise OptionUnfit(option="--policy", detail=N_("name the ledger's policy file"))
    return policy


def _policy(file: Path | None) -> Policy:
    from exchange.ledger.policy import parse_policy

    return parse_policy(_policy_bytes(file))


def _anchors(ca: Path | None) -> tuple[x509.Certificate, ...]:
    from clients.verify import default_trust
    from pki.asn1 import load_certificates

    if ca is not None:
        return tuple(load_certificates(checked_file(ca, option="--ca")))
    return default_trust().store.anchors_for(None).certificates
