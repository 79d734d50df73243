"""A trust folder: whom its owner trusts, as files.

    trust/
      anchors/            serve every purpose
        evidence/ seals/ time/    serve that one alone
      intermediates/      at hand, not trusted
      crls/               current revocation lists
      ledger.policy       tlog-policy, handed on as it is

PEM or DER, any file name. Read whole or not at all: what cannot be read is an error
that names the file, since a list skipped in silence would turn a no into a yes.
DESIGN §6, FORMATS §7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.asn1 import load_certificates
from pki.errors import CertificateMalformed, RevocationListMalformed, TrustFolderMalformed
from pki.facts import fingerprint
from pki.purpose import AnchorKind
from pki.revocation import LIST_LIMIT, RevocationList, load_revocation_lists
from pki.storage.files import write_durably
from pki.trust import TrustStore

FILES_LIMIT = 2000
"""Files per folder."""
CERTIFICATE_FILE_LIMIT = 1024 * 1024
LIST_FILE_LIMIT = 2 * LIST_LIMIT
"""A list of full size in PEM still fits."""
POLICY_LIMIT = 64 * 1024

KINDS: tuple[AnchorKind, ...] = ("evidence", "seals", "time")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrustFolder:
    """What a trust folder holds."""

    store: TrustStore
    ledger_policy: bytes | None
    """The bytes of ``ledger.policy``, if there is one; not parsed here."""


def read_trust_folder(path: Path) -> TrustFolder:
    """Everything in a trust folder.

    ``anchors/`` must be there; the other parts may be missing. Files whose name begins
    with a dot and ``README``, ``README.md``, ``README.txt`` are left alone, everything else must be what
    its folder is for. Symbolic links are followed: it is the owner's folder.

    Raises:
        TrustFolderMalformed: no such folder, an unknown name in it, or a file that cannot be read.
    """
    anchors = path / "anchors"
    if not anchors.is_dir():
        raise TrustFolderMalformed(file=str(anchors), detail="there is no such folder")
    _check_names(path, {"anchors", "intermediates", "crls", "ledger.policy"})
    by_kind = {kind: _read_all(anchors / kind, _certificates) for kind in KINDS}
    store = TrustStore.of(
        _read_all(anchors, _certificates, folders=KINDS),
        _read_all(path / "intermediates", _certificates),
        _read_all(path / "crls", _lists),
        evidence=by_kind["evidence"],
        seals=by_kind["seals"],
        time=by_kind["time"],
    )
    policy = path / "ledger.policy"
    return TrustFolder(store, _read(policy, POLICY_LIMIT) if policy.exists() else None)


def write_trust_folder(
    path: Path,
    *,
    anchors: Iterable[x509.Certificate],
    intermediates: Iterable[x509.Certificate] = (),
    crls: Iterable[RevocationList] = (),
    evidence: Iterable[x509.Certificate] = (),
    seals: Iterable[x509.Certificate] = (),
    time: Iterable[x509.Certificate] = (),
    ledger_policy: bytes | None = None,
) -> None:
    """Write a trust folder (made if its parent exists); durable on return.

    Certificates are PEM and named by their fingerprint, lists are DER and named by their
    issuer, so that a newer list takes the place of the older. Other files are left as they are.
    """
    # Not with parents: a mistyped path must not become a trust folder somewhere else.
    path.mkdir(exist_ok=True)
    (path / "anchors").mkdir(exist_ok=True)
    _write_certificates(path / "anchors", anchors)
    for kind, certificates in (("evidence", evidence), ("seals", seals), ("time", time)):
        several = tuple(certificates)
        if several:
            (path / "anchors" / kind).mkdir(exist_ok=True)
            _write_certificates(path / "anchors" / kind, several)
    (path / "intermediates").mkdir(exist_ok=True)
    _write_certificates(path / "intermediates", intermediates)
    (path / "crls").mkdir(exist_ok=True)
    for one in crls:
        write_durably(path / "crls" / f"{list_name(one)}.crl", one.der)
    if ledger_policy is not None:
        write_durably(path / "ledger.policy", ledger_policy)


def list_name(one: RevocationList) -> str:
    """A file name for the lists of one issuer and distribution point, the same for each newer one."""
    scope = "\n".join(sorted(one.distribution_points or ()))
    return hashlib.sha256(one.issuer + b"\0" + scope.encode()).hexdigest()[:32]


def _write_certificates(folder: Path, certificates: Iterable[x509.Certificate]) -> None:
    for certificate in certificates:
        name = fingerprint(certificate).removeprefix("sha256:")[:32]
        write_durably(folder / f"{name}.pem", certificate.public_bytes(Encoding.PEM))


def _check_names(folder: Path, known: set[str]) -> None:
    for one in sorted(folder.iterdir()):
        if one.name not in known and not _ignored(one):
            raise TrustFolderMalformed(file=str(one), detail="a trust folder has no place for this")


def _ignored(path: Path) -> bool:
    return path.name.startswith(".") or path.name in {"README", "README.md", "README.txt"}


def _read_all(folder: Path, parse: Callable[[Path], Sequence[T]], *, folders: Sequence[str] = ()) -> list[T]:
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise TrustFolderMalformed(file=str(folder), detail="it is not a folder")
    files = sorted(one for one in folder.iterdir() if not _ignored(one) and one.name not in folders)
    if len(files) > FILES_LIMIT:
        raise TrustFolderMalformed(file=str(folder), detail=f"more than {FILES_LIMIT} files")
    return [value for file in files for value in parse(file)]


def _certificates(file: Path) -> Sequence[x509.Certificate]:
    try:
        return load_certificates(_read(file, CERTIFICATE_FILE_LIMIT))
    except CertificateMalformed as error:
        raise TrustFolderMalformed(file=str(file), detail=str(error)) from error


def _lists(file: Path) -> Sequence[RevocationList]:
    try:
        return load_revocation_lists(_read(file, LIST_FILE_LIMIT))
    except RevocationListMalformed as error:
        raise TrustFolderMalformed(file=str(file), detail=str(error)) from error


def _read(file: Path, limit: int) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        raise TrustFolderMalformed(file=str(file), detail=f"it cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise TrustFolderMalformed(file=str(file), detail=f"larger than {limit} octets")
    return data
