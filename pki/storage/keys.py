"""A folder of encrypted private keys under one operator's secret.

    keys/            0700
      kek.json       salt and cost of the key-encryption key, and a proof of the right secret
      seal.key       0600, pki.keyfile
      tls.key

The secret is asked for once: opening derives the key-encryption key, and loading a
key after that is cheap. Files are never overwritten. Removing keys is left to the
operator's hands.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from pathlib import Path

from pki.errors import KeyExists, KeyFileMalformed, KeyNotFound, KeySecretWrong
from pki.keyfile import (
    DEFAULT_COST,
    FILE_LIMIT,
    NONCE_LENGTH,
    SALT_LENGTH,
    check_key_name,
    decode_key_file,
    derive_kek,
    encode_key_file,
)
from pki.keys import SoftwareSigner
from pki.storage.files import make_private_folder, write_durably

_PARAMETERS = "kek.json"
_SUFFIX = ".key"
_PROOF_LABEL = b"gongwen-kek-proof-v1"


class KeyFolder:
    """An open key folder: the secret was right."""

    def __init__(self, path: Path, kek: bytes) -> None:
        self._path = path
        self._kek = kek

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    @classmethod
    def create(cls, path: Path, secret: bytes, *, n: int = DEFAULT_COST) -> KeyFolder:
        """Make an empty folder under a secret; its parent must exist. Durable on return.

        Raises:
            KeyExists: there is something of that name already.
        """
        salt = secrets.token_bytes(SALT_LENGTH)
        kek = derive_kek(secret, salt, n)
        parameters = {
            "kdf": "scrypt",
            "n": n,
            "proof": base64.b64encode(_proof(kek)).decode(),
            "salt": base64.b64encode(salt).decode(),
            "version": 1,
        }
        try:
            make_private_folder(path)
        except FileExistsError as error:
            raise KeyExists(name=str(path)) from error
        content = json.dumps(parameters, indent=1, sort_keys=True).encode() + b"\n"
        write_durably(path / _PARAMETERS, content, mode=0o600, replace=False)
        return cls(path, kek)

    @classmethod
    def open(cls, path: Path, secret: bytes) -> KeyFolder:
        """Open a folder. Takes a third of a second at the default cost, on purpose.

        Raises:
            KeyFileMalformed: no key folder, or one that others may read.
            KeySecretWrong: the secret is another.
        """
        salt, n, proof = _read_parameters(path)
        # Group and others have no business here; a copied folder often has lost its mode.
        if path.stat().st_mode & 0o077:
            raise KeyFileMalformed(name=str(path), detail="others may enter the key folder; chmod 700 it")
        kek = derive_kek(secret, salt, n)
        if not hmac.compare_digest(_proof(kek), proof):
            raise KeySecretWrong(name=str(path))
        return cls(path, kek)

    def add(self, name: str, purpose: str, signer: SoftwareSigner) -> None:
        """Keep a key under a name. Durable on return.

        Raises:
            KeyExists: the name is taken; nothing was changed.
            KeyFileMalformed: not a name for a key.
        """
        check_key_name(name)
        data = encode_key_file(
            signer, kek=self._kek, key_id=name, purpose=purpose, nonce=secrets.token_bytes(NONCE_LENGTH)
        )
        try:
            write_durably(self._path / f"{name}{_SUFFIX}", data, mode=0o600, replace=False)
        except FileExistsError as error:
            raise KeyExists(name=name) from error

    def load(self, name: str, *, purpose: str | None = None) -> SoftwareSigner:
        """The key of this name; with ``purpose``, only if it was kept for it.

        Raises:
            KeyNotFound: there is none.
            KeyFileMalformed: the file is not one of ours, or is that of another name or purpose.
            KeySecretWrong: the file was changed, or comes from another folder.
        """
        check_key_name(name)
        path = self._path / f"{name}{_SUFFIX}"
        try:
            with path.open("rb") as file:
                data = file.read(FILE_LIMIT + 1)
        except FileNotFoundError as error:
            raise KeyNotFound(name=name) from error
        found = decode_key_file(data, self._kek)
        if found.key_id != name:
            raise KeyFileMalformed(name=name, detail=f"it holds the key {found.key_id}")
        if purpose is not None and found.purpose != purpose:
            raise KeyFileMalformed(name=name, detail=f"it is kept for {found.purpose}, not for {purpose}")
        return found.signer

    def names(self) -> tuple[str, ...]:
        """The keys that are there, sorted."""
        return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in self._path.glob(f"*{_SUFFIX}")))


def _proof(kek: bytes) -> bytes:
    """Tells a wrong secret from a changed key file; reveals nothing of the kek."""
    return hmac.digest(kek, _PROOF_LABEL, "sha256")


def _read_parameters(path: Path) -> tuple[bytes, int, bytes]:
    try:
        with (path / _PARAMETERS).open("rb") as file:
            fields = json.loads(file.read(FILE_LIMIT))
        if fields["version"] != 1 or fields["kdf"] != "scrypt":
            raise KeyFileMalformed(name=_PARAMETERS, detail="of another version")
        n = fields["n"]
        if not isinstance(n, int):
            raise KeyFileMalformed(name=_PARAMETERS, detail="its cost is no number")
        salt = base64.b64decode(fields["salt"], validate=True)
        proof = base64.b64decode(fields["proof"], validate=True)
    except (OSError, ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        raise KeyFileMalformed(name=str(path), detail="no key folder: kek.json cannot be read") from error
    return salt, n, proof
