"""What a file is worth: told by what is in it, never by its name.

    PDF                    its seals (PAdES), in a process of their own
    CMS signature file     over the content inside it, or over the file beside it
    receipt (ASiC-S)       signatures of actor and hub, and the ledger's proof
    dispatch package       documents, envelope and every receipt in it
    a file that has NAME.p7s beside it and no seal of its own: that signature

Anything else bears no seal. A kind of sealed file that this program cannot judge
(OFD, foreign containers) is *undecided*, and so is one that cannot be read: not
knowing is not yes. Nothing is ever fetched, whatever a certificate or a document names.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

import platformdirs

from clients.files import CHUNK
from clients.home import default_home
from clients.pdf import PdfJudge
from pki.purpose import SEAL_ANY
from pki.storage.trust import TrustFolder, read_trust_folder
from pki.text import N_, Text, text
from pki.trust import TrustStore
from signing.container import ASIC_E, ASIC_S
from signing.detached import judge_detached
from signing.report import FileReport, Finding, Indication, Severity, Verdict, file_report

MAX_FILE = 256 * 1024 * 1024
"""Of a file that is judged in memory; packages are read piece by piece."""
_HEAD = 64 * 1024
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_ARMOUR = re.compile(
    rb"\A\s*-----BEGIN (PKCS7|CMS|PKCS #7 SIGNED DATA)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----\s*\Z"
)
SIGNATURES = (".p7s", ".p7m", ".p7b", ".sig")
POLICIES = ("default",)

_NOT_READ = N_("the file cannot be read: {detail}")
_NOT_FOLLOWED = N_("a link to a folder; it was not followed")
_TOO_LARGE = N_("the file has {size} bytes; up to {limit} are judged")
_UNSUPPORTED = N_("this program cannot judge the seals of {kind}")
_CONTENT_MISSING = N_("the content that was signed is not beside it; name it with --content")
_BESIDE = N_("the signature stands beside it, in {name}")


class Kind(Enum):
    """What a file is, by its first bytes."""

    PDF = auto()
    CMS = auto()
    RECEIPT = auto()
    PACKAGE = auto()
    OFD = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Court:
    """Before whom a file is judged: whose anchors, at what time."""

    trust: TrustFolder
    now: datetime
    at: datetime | None = None
    pdfs: PdfJudge = field(default_factory=PdfJudge)
    """Close it when no more files come."""

    def judge(self, path: Path) -> FileReport:
        """As :func:`verify_path`."""
        return verify_path(path, self)


def no_trust() -> TrustFolder:
    """A trust folder that trusts nobody: every seal is undecided."""
    return TrustFolder(TrustStore.of(()), None)


def default_trust(environ: Mapping[str, str] | None = None) -> TrustFolder:
    """The user's trust folder: ``$GONGWEN_TRUST``, else the unit's, else the configured one, else nobody's.

    Raises:
        TrustFolderMalformed: the one that is there cannot be read.
    """
    named = (os.environ if environ is None else environ).get("GONGWEN_TRUST")
    if named:
        return read_trust_folder(Path(named))
    configured = Path(platformdirs.user_config_dir("gongwen", appauthor=False)) / "trust"
    for candidate in (default_home(environ) / "trust", configured):
        if candidate.is_dir():
            return read_trust_folder(candidate)
    return no_trust()


def kind_of(head: bytes, tail: bytes = b"") -> Kind:
    """The kind of a file from its first bytes (64 KiB are enough) and its last."""
    # Readers accept a PDF whose header stands within the first 1,024 bytes (ISO 32000-1 annex H).
    if b"%PDF-" in head[:1024]:
        return Kind.PDF
    if head[:4] == b"PK\x03\x04":
        if head[30:38] == b"mimetype" and head[38 : 38 + len(ASIC_S)] == ASIC_S:
            return Kind.RECEIPT
        if head[30:38] == b"mimetype" and head[38 : 38 + len(ASIC_E)] == ASIC_E:
            return Kind.PACKAGE
        return Kind.OFD if b"OFD.xml" in head or b"OFD.xml" in tail else Kind.OTHER
    if head[:1] == b"\x30" and _SIGNED_DATA in head[:24]:
        return Kind.CMS
    if _ARMOUR.match(head) or head.lstrip()[:15] in (b"-----BEGIN PKCS", b"-----BEGIN CMS-"):
        return Kind.CMS
    return Kind.OTHER


def verify_path(path: Path, court: Court, *, content: Path | None = None) -> FileReport:
    """The report on one file; whatever is in it, nothing is raised for that.

    ``content`` is what a detached signature file is over; without it the file of the
    same name without ``.p7s`` (or ``.p7m``, ``.sig``), or ``dispatch.json`` for
    ``dispatch.p7s``.
    """
    name = str(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(max(0, size - _HEAD))
            tail = file.read(_HEAD)
        kind = kind_of(head, tail)
        if kind is Kind.PACKAGE:
            return _package(path, court)
        if kind is Kind.OTHER:
            return _other(path, court)
        if kind is Kind.OFD:
            return undecided(name, "format-unsupported", text(_UNSUPPORTED, kind="OFD"))
        if size > MAX_FILE:
            return undecided(name, "file-too-large", text(_TOO_LARGE, size=size, limit=MAX_FILE))
        data = path.read_bytes()
        if kind is Kind.PDF:
            return _pdf(name, data, court)
        if kind is Kind.RECEIPT:
            return _receipt(name, data, court)
        return _signature(path, data, court, content)
    except OSError as error:
        return undecided(name, "file-unreadable", text(_NOT_READ, detail=error.strerror or error))


def verify_folder(path: Path, court: Court) -> Iterator[FileReport]:
    """Every file below a folder, in the order of their names; none is left out in silence."""
    for one in sorted(path.iterdir()):
        if one.is_dir():
            if one.is_symlink():
                yield undecided(str(one), "link-not-followed", Text(_NOT_FOLLOWED))
            else:
                yield from verify_folder(one, court)
        else:
            yield verify_path(one, court)


def undecided(name: str, code: str, sentence: Text) -> FileReport:
    """The report on a file about which nothing is known."""
    finding = Finding(code, Severity.WARNING, sentence)
    return FileReport(name, Verdict.UNDECIDED, Indication.INDETERMINATE, None, (), (finding,))


# --- kinds


def _pdf(name: str, data: bytes, court: Court) -> FileReport:
    return court.pdfs.judge(data, name=name, trust=court.trust.store, now=court.now, at=court.at)


def _receipt(name: str, data: bytes, court: Court) -> FileReport:
    from exchange.protocol.judge import judge_receipt

    return judge_receipt(
        data,
        trust=court.trust.store,
        policy=court.trust.ledger_policy,
        at=court.at,
        now=court.now,
        name=name,
    ).report


def _package(path: Path, court: Court) -> FileReport:
    from exchange.protocol.package import judge_package

    def judge_document(name: str, data: bytes) -> FileReport:
        if kind_of(data[:_HEAD]) is Kind.PDF:
            return _pdf(name, data, court)
        return file_report(name, ())

    with path.open("rb") as file:
        return judge_package(
            file,
            name=str(path),
            trust=court.trust.store,
            policy=court.trust.ledger_policy,
            now=court.now,
            at=court.at,
            judge_document=judge_document,
        ).report


def _signature(path: Path, data: bytes, court: Court, content: Path | None) -> FileReport:
    armoured = _ARMOUR.match(data)
    if armoured is not None:
        # What does not decode is no CMS either, and the judge says so.
        with suppress(binascii.Error):
            data = base64.b64decode(b"".join(armoured[2].split()), validate=True)
    beside = content if content is not None else content_of(path)
    seals = judge_detached(
        data,
        None if beside is None else _hashes(beside),
        trust=court.trust.store,
        purpose=SEAL_ANY,
        now=court.now,
        at=court.at,
    )
    findings = []
    if beside is None and any(_lacks_content(seal.sub_indication) for seal in seals):
        findings = [Finding("content-missing", Severity.WARNING, Text(_CONTENT_MISSING))]
    return file_report(str(path), seals, findings)


def _lacks_content(sub_indication: str | None) -> bool:
    return sub_indication == "SIGNED_DATA_NOT_FOUND"


def content_of(path: Path) -> Path | None:
    """The file that a detached signature file stands beside."""
    if path.suffix.lower() not in SIGNATURES:
        return None
    bare = path.with_suffix("")
    for candidate in (bare, bare.with_suffix(".json")):
        if candidate != path and candidate.is_file():
            return candidate
    return None


def _hashes(path: Path) -> Callable[[str], bytes]:
    """Digests of a file of any size, each computed when it is asked for."""

    def digest(name: str) -> bytes:
        state = hashlib.new(name)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                state.update(chunk)
        return state.digest()

    return digest


def _other(path: Path, court: Court) -> FileReport:
    """A file without a seal of its own: the signature beside it counts, if there is one."""
    for suffix in SIGNATURES:
        for beside in (path.with_name(path.name + suffix), path.with_suffix(suffix)):
            # NAME.json beside NAME.p7s is our envelope; other names with another ending are another file.
            if beside.suffix != suffix or (beside.name != path.name + suffix and path.suffix != ".json"):
                continue
            if beside != path and beside.is_file():
                report = _signature(beside, beside.read_bytes(), court, path)
                note = Finding("seal-beside", Severity.INFO, text(_BESIDE, name=beside.name))
                return replace(report, file=str(path), findings=(note, *report.findings))
    return file_report(str(path), ())
