"""The auditor's side: where a ledger's files come from, and where an export goes.

The checks themselves are ``exchange.ledger``'s and lean on nothing of ours. A ledger
proves itself by its signatures, so whoever serves the files is only trusted to serve
them; TLS keeps others from reading along.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx2
from cryptography import x509

from clients.errors import HubError, OptionUnfit, ProofOfAnother
from clients.transport import Driver, tls_context
from clients.wire import Request, call
from exchange.ledger.audit import MAX_FILE, AuditReport, Progress, Source, audit_ledger
from exchange.ledger.checkpoint import Checkpoint
from exchange.ledger.errors import LedgerError, SourceUnreachable
from exchange.ledger.export import export_files
from exchange.ledger.policy import Policy, VerifiedCheckpoint, parse_policy
from exchange.ledger.proof import check_proof
from exchange.ledger.tiles import CHECKPOINT_PATH, bundles_of_size, decode_bundle
from exchange.protocol.entry import Entry, commitment, decode_entry
from exchange.protocol.receipt import Receipt, decode_receipt, read_proof
from pki.storage.files import sync_folder, write_durably


class FolderSource:
    """A ledger in a folder of this machine. Nothing outside of it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        """As :meth:`Source.read`; a link or a folder in the place of a file is no file."""
        file = self._folder / path
        try:
            if file.is_symlink() or not file.is_file():
                return None
            with file.open("rb") as opened:
                return opened.read(MAX_FILE + 1)
        except OSError as error:
            raise SourceUnreachable(detail=f"{path}: {error.strerror}") from error

    def paths(self) -> Iterator[str]:
        """As :meth:`Source.paths`."""
        try:
            for file in sorted(self._folder.rglob("*")):
                if file.is_symlink() or not file.is_dir():
                    yield file.relative_to(self._folder).as_posix()
        except OSError as error:
            raise SourceUnreachable(detail=str(error)) from error


class HttpSource:
    """A ledger served over HTTP, at the URL under which ``checkpoint`` stands.

    The checkpoint is read once and held: a ledger that grows meanwhile still serves
    every tile of the size that is being audited. Lines of keys that the policy does not
    name are taken off it, since a public checkpoint may carry those of other witnesses.
    """

    def __init__(
        self,
        url: str,
        policy: Policy,
        *,
        tls: ssl.SSLContext | None,
        jitter: Callable[[], float],
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._policy = policy
        self._jitter = jitter
        self._driver = Driver(url.rstrip("/"), tls=tls, transport=transport)
        self._checkpoint: bytes | None = None

    def read(self, path: str) -> bytes | None:
        """As :meth:`Source.read`."""
        if path == CHECKPOINT_PATH and self._checkpoint is not None:
            return self._checkpoint
        try:
            request = Request("GET", f"/{path}")
            response = self._driver.run(call(request, jitter=self._jitter, accept=frozenset({200, 404})))
        except HubError as error:
            raise SourceUnreachable(detail=str(error)) from error
        if response.status == 404:
            return None
        data = response.body
        if path == CHECKPOINT_PATH:
            # One that does not meet the policy stays as it is, and the audit says what is wrong.
            with suppress(LedgerError):
                data = self._policy.check(data).trimmed
            self._checkpoint = data
        return data[: MAX_FILE + 1]

    def paths(self) -> None:
        """HTTP lists nothing."""
        return

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()


def open_source(
    place: str, policy: Policy, *, anchors: tuple[x509.Certificate, ...], jitter: Callable[[], float]
) -> Source:
    """The source that a URL or a folder names.

    Over https the ``anchors`` are trusted, or without any those of this machine.

    Raises:
        OptionUnfit: neither a URL nor a folder.
    """
    if place.startswith(("https://", "http://")):
        tls = None if place.startswith("http://") or not anchors else tls_context(anchors)
        return HttpSource(place, policy, tls=tls, jitter=jitter)
    folder = Path(place)
    if not folder.is_dir():
        raise OptionUnfit(option=place, detail="neither a URL nor a folder")
    return FolderSource(folder)


def audit(
    source: Source, policy: Policy, *, earlier: tuple[Checkpoint, ...] = (), progress: Progress | None = None
) -> AuditReport:
    """As :func:`exchange.ledger.audit.audit_ledger`."""
    return audit_ledger(source, policy, earlier=earlier, progress=progress)


def earlier_checkpoints(files: tuple[Path, ...], policy: Policy) -> tuple[Checkpoint, ...]:
    """The checkpoints of kept notes and receipts; the ledger that is audited must still contain them.

    Raises:
        LedgerError: one of them does not meet the policy.
        ReceiptMalformed: a receipt that is none.
    """
    found = []
    for file in files:
        data = file.read_bytes()
        note = read_proof(decode_receipt(data))[0].checkpoint if data[:2] == b"PK" else data
        found.append(policy.check(note).checkpoint)
    return tuple(found)


def export(
    source: Source, policy: Policy, folder: Path, *, progress: Progress | None = None
) -> VerifiedCheckpoint:
    """Copy a ledger into a folder as a static tlog-tiles layout, hashed again on the way.

    The checkpoint is written last: a folder without one is no ledger. Durable on return.

    Raises:
        OptionUnfit: the folder is there and not empty.
        LedgerError: the source's checkpoint does not meet the policy, or its entries are not those it signs.
        SourceUnreachable: a file cannot be had.
    """
    if folder.exists() and any(folder.iterdir()):
        raise OptionUnfit(option=str(folder), detail="the folder is not empty")
    note = source.read(CHECKPOINT_PATH)
    if note is None:
        raise SourceUnreachable(detail="there is no checkpoint")
    verified = policy.check(note)
    size = verified.checkpoint.size

    def entries() -> Iterator[bytes]:
        for bundle in bundles_of_size(size):
            data = source.read(bundle.path)
            if data is None:
                raise SourceUnreachable(detail=f"{bundle.path} is missing")
            yield from decode_bundle(data, bundle.width)
            if progress is not None:
                progress(bundle.first + bundle.width, size)

    folders = {folder}
    for path, data in export_files(entries(), verified):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        folders.add(file.parent)
        if path == CHECKPOINT_PATH:
            for one in folders:
                sync_folder(one)
        write_durably(file, data)
    return verified


@dataclass(frozen=True, slots=True)
class Proof:
    """That the statement of a receipt is in the ledger: where, and under which checkpoint."""

    index: int
    size: int
    origin: str
    root: bytes
    entry: Entry
    proven_at: datetime | None
    cosigned_by: tuple[str, ...]


def prove(receipt: bytes, policy: bytes) -> Proof:
    """Check only the ledger's part of a receipt, step by step; its signatures are ``verify``'s.

    (1) The checkpoint meets the policy and the proof leads from the entry to its root.
    (2) The entry commits to exactly this statement and these signatures.

    Raises:
        LedgerError: (1) fails.
        ReceiptMalformed, EntryMalformed: the receipt is none.
        ProofOfAnother: (2) fails.
    """
    parts: Receipt = decode_receipt(receipt)
    proof, extra = read_proof(parts)
    verified = check_proof(proof, entry=extra.entry, policy=parse_policy(policy))  # (1)
    entry = decode_entry(extra.entry)
    # (2)
    if entry.commit != commitment(salt=extra.salt, evidence=parts.evidence, signature=parts.signature):
        raise ProofOfAnother()
    head = verified.checkpoint
    return Proof(
        proof.index,
        head.size,
        head.origin,
        head.root,
        entry,
        verified.proven_at,
        tuple(one.witness for one in verified.cosignatures),
    )
