"""The dispatch package: everything about one dispatch in one file, ``NAME.asice`` (FORMATS §6).

    mimetype                        application/vnd.etsi.asic-e+zip
    dispatch.json                   the envelope, as its sender signed it
    dispatch.p7s
    documents/正文.pdf              every document, under the name that the envelope gives it
    evidence/018f….receipt.asics    every receipt so far, in the ledger's order
    META-INF/ASiCManifest001.xml    names every one of the above with its digest
    META-INF/signature001.p7s       the hub's signature over the manifest

Packing is a stream, for documents may be large. Nothing in it is unpacked to a disk
under names that it brings.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO, Final

from exchange.ledger.policy import Policy
from exchange.protocol.dispatch import Dispatch, decode_dispatch
from exchange.protocol.errors import EnvelopeMalformed, PackageMalformed
from exchange.protocol.identifiers import Digest, digest_of
from exchange.protocol.judge import JudgedReceipt, digests_of, judge_receipt
from exchange.protocol.receipt import MAX_RECEIPT, SUFFIX
from pki.purpose import HUB_EVIDENCE, UNIT_SEAL, Purpose
from pki.text import N_, Text, text
from pki.trust import TrustStore
from signing.container import ASIC_E, MIMETYPE, Entry, EntrySource, entry_chunks, read_container
from signing.detached import judge_detached
from signing.errors import ContainerMalformed, ManifestMalformed
from signing.manifest import DataObject, Manifest, decode_manifest, encode_manifest
from signing.report import (
    FileReport,
    Finding,
    Indication,
    Result,
    SealReport,
    Severity,
    Step,
    Verdict,
    file_report,
    worst,
)

MEDIA_TYPE: Final = ASIC_E.decode()
SUFFIX_PACKAGE: Final = ".asice"
ENVELOPE: Final = "dispatch.json"
ENVELOPE_SIGNATURE: Final = "dispatch.p7s"
MANIFEST: Final = "META-INF/ASiCManifest001.xml"
SIGNATURE: Final = "META-INF/signature001.p7s"
DOCUMENTS: Final = "documents/"
EVIDENCE: Final = "evidence/"
MAX_ENTRIES: Final = 20_000
_SMALL: Final = 4 << 20
_RECEIPT_TYPE = "application/vnd.etsi.asic-s+zip"

JudgeDocument = Callable[[str, bytes], FileReport]
"""Judges a document of the package by its name and bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a package to be written; content comes in chunks, size, CRC-32 and digest are known."""

    name: str
    media_type: str
    size: int
    crc: int
    sha256: bytes
    chunks: Iterable[bytes]

    @classmethod
    def of(cls, name: str, media_type: str, body: bytes) -> Part:
        """A part that is at hand."""
        return cls(name, media_type, len(body), zlib.crc32(body), hashlib.sha256(body).digest(), (body,))


def package_parts(
    envelope: bytes, signature: bytes, documents: Sequence[Part], receipts: Sequence[tuple[str, bytes]]
) -> list[Part]:
    """The parts of a package in their order; ``receipts`` are evidence ids with containers."""
    return [
        Part.of(ENVELOPE, "application/json", envelope),
        Part.of(ENVELOPE_SIGNATURE, "application/pkcs7-signature", signature),
        *documents,
        *(Part.of(f"{EVIDENCE}{name}{SUFFIX}", _RECEIPT_TYPE, body) for name, body in receipts),
    ]


def package_sources(parts: Sequence[Part], sign: Callable[[bytes], bytes]) -> list[EntrySource]:
    """What :func:`signing.container.stream_container` writes: the parts, their manifest, its signature."""
    manifest = encode_manifest(SIGNATURE, [DataObject(one.name, one.media_type, one.sha256) for one in parts])
    signature = sign(manifest)
    return [
        EntrySource(MIMETYPE, len(ASIC_E), zlib.crc32(ASIC_E), (ASIC_E,)),
        *(EntrySource(one.name, one.size, one.crc, one.chunks) for one in parts),
        EntrySource(MANIFEST, len(manifest), zlib.crc32(manifest), (manifest,)),
        EntrySource(SIGNATURE, len(signature), zlib.crc32(signature), (signature,)),
    ]


@dataclass(frozen=True, slots=True)
class JudgedPackage:
    """The report on a package, and what it holds; ``dispatch`` is None where unreadable."""

    report: FileReport
    dispatch: Dispatch | None
    receipts: tuple[JudgedReceipt, ...]
    documents: tuple[FileReport, ...]


def judge_package(
    file: BinaryIO,
    *,
    name: str,
    trust: TrustStore,
    policy: bytes | Policy | None,
    now: datetime,
    at: datetime | None = None,
    judge_document: JudgeDocument | None = None,
    max_document: int = 64 << 20,
) -> JudgedPackage:
    """Judge a package: the hub's signature over everything in it, the sender's over the envelope, every
    document against the envelope, every receipt by itself, and the seals of its PDF documents.

    The verdict of the file is the worst of these. Raises nothing for whatever the bytes may be.
    """
    try:
        package = _read(file)
    except (PackageMalformed, ContainerMalformed, ManifestMalformed, EnvelopeMalformed) as error:
        return JudgedPackage(_malformed(name, error.text), None, (), ())
    findings: list[Finding] = []
    seals: list[SealReport] = []
    for signature, content, purpose, label in (
        (SIGNATURE, MANIFEST, HUB_EVIDENCE, "ASiC-E"),
        (ENVELOPE_SIGNATURE, ENVELOPE, UNIT_SEAL, "CAdES-B-B"),
    ):
        seals += _judge_signature(package, signature, content, purpose, label, trust=trust, now=now, at=at)
    sender = seals[-1].unit
    if seals[-1].verdict is not Verdict.NOT_VALID and sender != package.dispatch.sender:
        findings.append(
            Finding(
                "sender-mismatch",
                Severity.ERROR,
                text(
                    N_("the envelope names the sender {named}, but it is signed by {signer}"),
                    named=package.dispatch.sender,
                    signer=sender or seals[-1].signer,
                ),
            )
        )
    receipts = []
    for entry in package.receipts:
        body = package.small(entry.name, MAX_RECEIPT)
        judged = judge_receipt(body, name=entry.name, trust=trust, policy=policy, now=now, at=at)
        receipts.append(judged)
        seals += judged.report.seals
        findings += judged.report.findings
        if judged.evidence is not None and judged.evidence.dispatch != package.digest:
            detail = N_("{name} is evidence about another dispatch")
            findings.append(Finding("evidence-foreign", Severity.ERROR, text(detail, name=entry.name)))
    if not receipts:
        findings.append(Finding("no-evidence", Severity.ERROR, text(N_("it holds no evidence"))))
    documents = []
    for document in package.dispatch.documents:
        if document.media_type == "application/pdf" and judge_document is not None:
            if document.size > max_document:
                detail = N_("{name} is too large to be judged inside a package; judge it by itself")
                findings.append(
                    Finding("document-not-judged", Severity.WARNING, text(detail, name=document.name))
                )
                continue
            report = judge_document(document.name, package.small(DOCUMENTS + document.name, max_document))
            if report.verdict is Verdict.NO_SEAL and document is not package.dispatch.contents:
                continue
            if document is package.dispatch.contents:
                findings += _foreign_seal(report, package.dispatch)
            documents.append(report)
            seals += report.seals
            findings += report.findings
    report = file_report(name, seals, findings)
    for one in documents:
        # A document may be worse than each of its seals: it has none, or could not be judged.
        if worst([report.verdict, one.verdict], default=report.verdict) is not report.verdict:
            report = replace(
                report, verdict=one.verdict, indication=one.indication, sub_indication=one.sub_indication
            )
    return JudgedPackage(report, package.dispatch, tuple(receipts), tuple(documents))


def _foreign_seal(report: FileReport, dispatch: Dispatch) -> list[Finding]:
    """The main document is sealed by the unit that sends it; the hub takes no other (so no package has one)."""
    if not report.seals or any(seal.unit == dispatch.sender for seal in report.seals):
        return []
    detail = text(
        N_("{name} is sealed by {signer}, not by the sending unit"),
        name=dispatch.contents.name,
        signer=", ".join(sorted({seal.signer for seal in report.seals})),
    )
    return [Finding("seal-foreign", Severity.ERROR, detail)]


@dataclass(frozen=True, slots=True)
class _Package:
    """A package whose every entry was compared with manifest and envelope."""

    file: BinaryIO
    entries: dict[str, Entry]
    dispatch: Dispatch
    digest: Digest
    receipts: tuple[Entry, ...]

    def small(self, name: str, limit: int) -> bytes:
        """The content of an entry that must not be large."""
        return _small(self.file, self.entries[name], limit)


def _small(file: BinaryIO, entry: Entry, limit: int) -> bytes:
    if entry.size > limit:
        raise PackageMalformed(detail=f"{entry.name} has more than {limit} bytes")
    return b"".join(entry_chunks(file, entry))


def _read(file: BinaryIO) -> _Package:
    found = read_container(file, max_entries=MAX_ENTRIES)
    entries = {entry.name: entry for entry in found}
    for name in (MIMETYPE, ENVELOPE, ENVELOPE_SIGNATURE, MANIFEST, SIGNATURE):
        if name not in entries:
            raise PackageMalformed(detail=f"{name} is missing")
        _small(file, entries[name], _SMALL)
    if _small(file, entries[MIMETYPE], 64) != ASIC_E:
        raise PackageMalformed(detail=f"the mimetype is not {MEDIA_TYPE}")
    manifest = decode_manifest(_small(file, entries[MANIFEST], _SMALL), max_size=_SMALL)
    if manifest.signature != SIGNATURE:
        raise PackageMalformed(detail=f"the manifest belongs to {manifest.signature}")
    envelope = _small(file, entries[ENVELOPE], _SMALL)
    dispatch = decode_dispatch(envelope)
    _check_order([entry.name for entry in found], manifest, dispatch)
    for document in dispatch.documents:
        if entries[DOCUMENTS + document.name].size != document.size:
            raise PackageMalformed(detail=f"{document.name} has not the size that the envelope says")
    digests = {one.name: one.sha256 for one in manifest.objects}
    expected = {DOCUMENTS + one.name: one.digest.removeprefix("sha256:") for one in dispatch.documents}
    for name, digest in digests.items():
        actual = hashlib.sha256()
        for chunk in entry_chunks(file, entries[name]):
            actual.update(chunk)
        if actual.digest() != digest or expected.get(name, digest.hex()) != digest.hex():
            raise PackageMalformed(detail=f"{name} is not what was signed")
    receipts = tuple(entry for entry in found if entry.name.startswith(EVIDENCE))
    if any(entry.size > MAX_RECEIPT for entry in receipts):
        raise PackageMalformed(detail=f"a receipt in it has more than {MAX_RECEIPT} bytes")
    return _Package(file, entries, dispatch, digest_of(envelope), receipts)


def _check_order(names: list[str], manifest: Manifest, dispatch: Dispatch) -> None:
    """Exactly the parts of a package, in its order, all of them in the manifest."""
    listed = [one.name for one in manifest.objects]
    if names != [MIMETYPE, *listed, MANIFEST, SIGNATURE]:
        raise PackageMalformed(detail="an entry is not in the manifest, or stands in another place")
    documents = [DOCUMENTS + one.name for one in dispatch.documents]
    rest = listed[2 + len(documents) :]
    if listed[: 2 + len(documents)] != [ENVELOPE, ENVELOPE_SIGNATURE, *documents]:
        raise PackageMalformed(detail="its documents are not those of the envelope")
    if any(not name.startswith(EVIDENCE) or not name.endswith(SUFFIX) for name in rest):
        raise PackageMalformed(detail="it holds something that has no place in a package")


def _judge_signature(
    package: _Package,
    signature: str,
    content: str,
    purpose: Purpose,
    label: str,
    *,
    trust: TrustStore,
    now: datetime,
    at: datetime | None,
) -> list[SealReport]:
    reports = judge_detached(
        package.small(signature, _SMALL),
        digests_of(package.small(content, _SMALL)),
        trust=trust,
        purpose=purpose,
        now=now,
        at=at,
    )
    return [replace(report, format=f"{label} ({content})") for report in reports]


def _malformed(name: str, detail: Text) -> FileReport:
    seal = SealReport(
        format="ASiC-E",
        verdict=Verdict.NOT_VALID,
        indication=Indication.TOTAL_FAILED,
        sub_indication="FORMAT_FAILURE",
        signer="",
        time=None,
        time_source=None,
        steps=(Step("container", Result.FAILED, detail),),
    )
    return file_report(name, [seal], [Finding("package-malformed", Severity.ERROR, detail)])
