"""A private key at rest: one encrypted file, and the key that encrypts it.

    gongwen-key-v1\\n
    {"id": "seal", "nonce": "…", "purpose": "unit-seal"}\\n
    AES-256-GCM(PKCS #8)

Both lines are the associated data, so that a key can be moved neither to another
name nor to another purpose. The key-encryption key comes from an operator's secret by
scrypt, once per process. Where the files lie is ``storage/keys``; better than any file
is a token behind :class:`pki.keys.Signer`. RFC 7914, NIST SP 800-38D, RFC 5958.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from pki.errors import KeyFileMalformed, KeyRefused, KeySecretWrong
from pki.keys import SoftwareSigner

FILE_LIMIT = 64 * 1024
NONCE_LENGTH = 12
SALT_LENGTH = 16
DEFAULT_COST = 2**17
"""scrypt's N: 0.3 s and 128 MiB (r = 8) per guess."""

_MAGIC = b"gongwen-key-v1\n"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key with the name and the purpose that it was sealed under."""

    key_id: str
    purpose: str
    signer: SoftwareSigner


def derive_kek(secret: bytes, salt: bytes, n: int = DEFAULT_COST) -> bytes:
    """The key-encryption key of an operator's secret: scrypt with r = 8, p = 1.

    Raises:
        KeyFileMalformed: a cost or salt that we never write.
    """
    if n < 2 or n & (n - 1) or n > 2**20 or len(salt) != SALT_LENGTH:
        raise KeyFileMalformed(name="kek.json", detail="cost or salt is not one of ours")
    return Scrypt(salt=salt, length=32, n=n, r=8, p=1).derive(secret)


def check_key_name(name: str) -> None:
    """Names of keys and purposes: 1 to 64 of ``a-z 0-9 . _ -``, so that they serve as file names anywhere.

    Raises:
        KeyFileMalformed: another name.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise KeyFileMalformed(name=name[:64], detail="not a name for a key")


def encode_key_file(signer: SoftwareSigner, *, kek: bytes, key_id: str, purpose: str, nonce: bytes) -> bytes:
    """The encrypted file of a key. The nonce is random and never used twice with one kek."""
    check_key_name(key_id)
    check_key_name(purpose)
    if len(nonce) != NONCE_LENGTH:
        raise ValueError(f"a nonce has {NONCE_LENGTH} octets")
    head = _encode_head(key_id, purpose, nonce)
    return head + AESGCM(kek).encrypt(nonce, signer.to_pkcs8(), head)


def decode_key_file(data: bytes, kek: bytes) -> KeyFile:
    """The key of an encrypted file; the inverse of :func:`encode_key_file`.

    Raises:
        KeyFileMalformed: not such a file.
        KeySecretWrong: another key-encryption key, or the file was changed.
    """
    key_id, purpose, nonce, head = _decode_head(data)
    try:
        pkcs8 = AESGCM(kek).decrypt(nonce, data[len(head) :], head)
    except (InvalidTag, ValueError) as error:
        raise KeySecretWrong(name=key_id) from error
    try:
        return KeyFile(key_id, purpose, SoftwareSigner.from_pkcs8(pkcs8))
    except KeyRefused as error:
        raise KeyFileMalformed(name=key_id, detail=str(error)) from error


def _encode_head(key_id: str, purpose: str, nonce: bytes) -> bytes:
    fields = {"id": key_id, "nonce": base64.b64encode(nonce).decode(), "purpose": purpose}
    return _MAGIC + json.dumps(fields, sort_keys=True).encode() + b"\n"


def _decode_head(data: bytes) -> tuple[str, str, bytes, bytes]:
    if len(data) > FILE_LIMIT or not data.startswith(_MAGIC):
        raise KeyFileMalformed(name="?", detail="not a key file of version 1")
    line, _, _ = data[len(_MAGIC) :].partition(b"\n")
    try:
        fields = json.loads(line)
        key_id, purpose = str(fields["id"]), str(fields["purpose"])
        nonce = base64.b64decode(str(fields["nonce"]), validate=True)
        check_key_name(key_id)
        check_key_name(purpose)
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        raise KeyFileMalformed(name="?", detail="its head cannot be read") from error
    head = _encode_head(key_id, purpose, nonce)
    # One spelling only: written again, the head is what was read.
    if len(nonce) != NONCE_LENGTH or not data.startswith(head):
        raise KeyFileMalformed(name=key_id, detail="its head is not as we write it")
    return key_id, purpose, nonce, head
