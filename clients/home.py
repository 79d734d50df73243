"""The folder in which a unit keeps what it is: keys, certificates, trust, receipts.

    unit.toml              which unit, which hub
    keys/                  seal and TLS key, encrypted
    certificates/          seal.pem, tls.pem: the certificate, then its path without the anchor
    trust/                 anchors/ intermediates/ crls/ ledger.policy
    receipts/              EVIDENCE_ID.receipt.asics, every receipt ever obtained
    outgoing/ID/           a signed envelope that has no receipt yet, and where its documents lie
    outgoing/acts/         signed statements that have no receipt yet
    sent/ID/  refused/ID/  envelopes after their receipt

What is signed stands in ``outgoing`` before it leaves, so that after a crash the same
bytes are sent again and the hub gives the one receipt. Nothing here talks to a hub.
"""

from __future__ import annotations

import json
import os
import tomllib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import platformdirs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients.errors import HomeUnusable
from clients.files import sync_folder, write_atomically
from exchange.protocol.dispatch import Dispatch, decode_dispatch
from exchange.protocol.errors import EnvelopeMalformed, EvidenceMalformed
from exchange.protocol.events import Event
from exchange.protocol.evidence import Evidence, decode_evidence
from exchange.protocol.identifiers import Digest, digest_of
from pki.errors import NameMalformed
from pki.keys import SoftwareSigner
from pki.names import UnitId, parse_unit_id
from pki.storage.keys import KeyFolder
from pki.storage.trust import TrustFolder, read_trust_folder
from signing.cms import CadesSigner

VERSION = 1
SEAL = "seal"
TLS = "tls"
CONFIG = "unit.toml"
VARIABLE = "GONGWEN_UNIT_HOME"


def default_home(environ: Mapping[str, str] | None = None) -> Path:
    """``$GONGWEN_UNIT_HOME``, else the user's configuration folder."""
    named = (os.environ if environ is None else environ).get(VARIABLE)
    return Path(named) if named else Path(platformdirs.user_config_dir("gongwen", appauthor=False)) / "unit"


@dataclass(frozen=True, slots=True)
class UnitConfig:
    """``unit.toml``: who we are, and which hub we belong to."""

    unit: UnitId
    name: str
    origin: str
    """The hub's name, as it stands in envelopes and evidence."""
    units_url: str
    public_url: str
    unit_seal_policy: str
    hub_evidence_policy: str
    max_content_bytes: int
    max_small_bytes: int
    max_expiry_days: int


def encode_config(config: UnitConfig) -> bytes:
    """``unit.toml``; a JSON string or integer is also one of TOML."""
    lines = [f"version = {VERSION}"]
    for field in fields(UnitConfig):
        lines.append(f"{field.name} = {json.dumps(getattr(config, field.name), ensure_ascii=False)}")
    return ("\n".join(lines) + "\n").encode()


def decode_config(data: bytes, *, path: str) -> UnitConfig:
    """Read ``unit.toml``; every key known and there.

    Raises:
        HomeUnusable: it is not.
    """
    try:
        table = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HomeUnusable(path=path, detail=f"{CONFIG}: {error}") from None
    if table.pop("version", None) != VERSION:
        raise HomeUnusable(path=path, detail=f"{CONFIG}: version must be {VERSION}")
    wanted = {field.name: int if field.type == "int" else str for field in fields(UnitConfig)}
    odd = sorted(set(table) ^ set(wanted))
    if odd:
        raise HomeUnusable(path=path, detail=f"{CONFIG}: {odd[0]} is unknown or missing")
    for key, kind in wanted.items():
        if type(table[key]) is not kind:
            raise HomeUnusable(path=path, detail=f"{CONFIG}: {key} must be of type {kind.__name__}")
    try:
        table["unit"] = parse_unit_id(table["unit"])
    except NameMalformed as error:
        raise HomeUnusable(path=path, detail=f"{CONFIG}: unit: {error}") from None
    return UnitConfig(**table)


@dataclass(frozen=True, slots=True)
class PendingDispatch:
    """A signed envelope on its way out, and where its documents lie."""

    envelope: bytes
    signature: bytes
    sources: Mapping[Digest, Path]
    dispatch: Dispatch

    @property
    def digest(self) -> Digest:
        """Of ``dispatch.json``."""
        return digest_of(self.envelope)


@dataclass(frozen=True, slots=True)
class PendingAct:
    """A signed statement on its way out."""

    evidence: bytes
    signature: bytes
    statement: Evidence


class UnitHome:
    """An opened folder: the secret was given and the keys are in memory."""

    def __init__(
        self,
        path: Path,
        config: UnitConfig,
        *,
        seal: SoftwareSigner,
        seal_certificates: tuple[x509.Certificate, ...],
        tls: SoftwareSigner,
    ) -> None:
        self.path = path
        self.config = config
        self.seal_key = seal
        self.seal_certificates = seal_certificates
        """The certificate that signs, then its path without the anchor."""
        self.seal = CadesSigner(seal, seal_certificates)
        self.tls = tls
        self._trust: TrustFolder | None = None

    @classmethod
    def open(cls, path: Path, secret: bytes) -> Self:
        """Open the folder.

        Raises:
            HomeUnusable: not an enrolled unit's folder.
            KeyFileError: the secret does not open the keys.
        """
        config = read_config(path)
        keys = KeyFolder.open(path / "keys", secret)
        certificates = read_certificates(path, SEAL)
        return cls(path, config, seal=keys.load(SEAL), seal_certificates=certificates, tls=keys.load(TLS))

    @property
    def unit(self) -> UnitId:
        """Whose folder it is."""
        return self.config.unit

    @property
    def tls_certificates(self) -> tuple[x509.Certificate, ...]:
        """What the unit shows to the hub."""
        return read_certificates(self.path, TLS)

    @property
    def seal_certificate(self) -> Digest:
        """Digest of the certificate that signs, as evidence names it."""
        return digest_of(self.seal.certificate.public_bytes(Encoding.DER))

    @property
    def trust(self) -> TrustFolder:
        """Whom the unit trusts; read once.

        Raises:
            TrustFolderMalformed: something in it cannot be read.
        """
        if self._trust is None:
            self._trust = read_trust_folder(self.path / "trust")
        return self._trust

    def forget_trust(self) -> None:
        """Read the trust folder anew when it is next needed."""
        self._trust = None

    # --- receipts

    def receipt_path(self, evidence_id: str) -> Path:
        """Where the receipt of this evidence is kept."""
        return self.path / "receipts" / f"{evidence_id}.receipt.asics"

    def keep_receipt(self, evidence_id: str, data: bytes) -> Path:
        """Keep a receipt; durable on return. One that is there already is never replaced by another."""
        path = self.receipt_path(evidence_id)
        if not path.exists():
            write_atomically(path, data)
        return path

    # --- dispatches on their way

    def _outgoing(self, dispatch_id: str) -> Path:
        return self.path / "outgoing" / dispatch_id

    def keep_dispatch(self, pending: PendingDispatch) -> None:
        """Keep a signed envelope until it has its receipt; durable on return."""
        folder = self._outgoing(pending.dispatch.dispatch_id)
        sources = {digest: str(path) for digest, path in pending.sources.items()}
        write_atomically(folder / "sources.json", json.dumps(sources, ensure_ascii=False).encode())
        write_atomically(folder / "dispatch.p7s", pending.signature)
        # The envelope comes last: a folder with it is complete.
        write_atomically(folder / "dispatch.json", pending.envelope)
        sync_folder(folder.parent)

    def pending_dispatches(self) -> Iterator[PendingDispatch]:
        """Envelopes without a receipt, oldest first."""
        for envelope in sorted((self.path / "outgoing").glob("*/dispatch.json")):
            yield _read_dispatch(envelope.parent)

    def settle_dispatch(self, pending: PendingDispatch, *, accepted: bool) -> Path:
        """The envelope has its receipt: move it out of the way."""
        folder = self._outgoing(pending.dispatch.dispatch_id)
        target = self.path / ("sent" if accepted else "refused") / folder.name
        target.parent.mkdir(exist_ok=True)
        if folder.exists():
            folder.rename(target)
            sync_folder(target.parent)
            sync_folder(folder.parent)
        return target

    # --- acts on their way

    def _act_path(self, consignment_id: str, event: Event) -> Path:
        return self.path / "outgoing" / "acts" / f"{consignment_id}.{event.wire}.json"

    def keep_act(self, act: PendingAct) -> None:
        """Keep a signed statement until it has its receipt; durable on return."""
        assert act.statement.consignment_id is not None
        data = {"evidence": _b64(act.evidence), "signature": _b64(act.signature)}
        path = self._act_path(act.statement.consignment_id, act.statement.event)
        write_atomically(path, json.dumps(data).encode())

    def pending_act(self, consignment_id: str, event: Event) -> PendingAct | None:
        """The statement of this event that has no receipt yet."""
        path = self._act_path(consignment_id, event)
        if not path.exists():
            return None
        try:
            data = json.loads(path.read_bytes())
            evidence = b64decode(data["evidence"], validate=True)
            signature = b64decode(data["signature"], validate=True)
            return PendingAct(evidence, signature, decode_evidence(evidence))
        except (ValueError, KeyError, TypeError, EvidenceMalformed) as error:
            raise HomeUnusable(path=self.path, detail=f"{path.name}: {error}") from None

    def settle_act(self, act: PendingAct) -> None:
        """The statement has its receipt, or was refused for good."""
        assert act.statement.consignment_id is not None
        self._act_path(act.statement.consignment_id, act.statement.event).unlink(missing_ok=True)


def read_config(path: Path) -> UnitConfig:
    """``unit.toml`` of a folder; needs no secret.

    Raises:
        HomeUnusable: there is none, or it is malformed.
    """
    try:
        data = (path / CONFIG).read_bytes()
    except OSError:
        raise HomeUnusable(path=path, detail=f"there is no {CONFIG} in it") from None
    return decode_config(data, path=str(path))


def read_certificates(path: Path, name: str) -> tuple[x509.Certificate, ...]:
    """A key's certificate and its path without the anchor.

    Raises:
        HomeUnusable: missing or unreadable.
    """
    file = path / "certificates" / f"{name}.pem"
    try:
        return tuple(x509.load_pem_x509_certificates(file.read_bytes()))
    except (OSError, ValueError) as error:
        raise HomeUnusable(path=path, detail=f"{file.name}: {error}") from None


def _read_dispatch(folder: Path) -> PendingDispatch:
    try:
        envelope = (folder / "dispatch.json").read_bytes()
        sources = json.loads((folder / "sources.json").read_bytes())
        return PendingDispatch(
            envelope,
            (folder / "dispatch.p7s").read_bytes(),
            {Digest(digest): Path(path) for digest, path in sources.items()},
            decode_dispatch(envelope),
        )
    except (OSError, ValueError, AttributeError, EnvelopeMalformed) as error:
        raise HomeUnusable(path=folder, detail=str(error)) from None


def _b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
