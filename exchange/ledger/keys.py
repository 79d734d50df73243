"""Verifier keys of every type that we accept, from their text form.

    0x01  Ed25519 over the text           a log                 note.NoteVerifier
    0x04  Ed25519 cosignature/v1          a witness             cosignature.CosignatureVerifier
    0x06  ML-DSA-44 (sub)tree signature   a witness or a log    cosignature.MlDsaVerifier

C2SP signed-note. Keys of other types are refused rather than ignored: whoever configures one
expects it to be checked. Signature *lines* of other types in a note are another matter; ``note``
leaves them unverified.
"""

from __future__ import annotations

from exchange.ledger.cosignature import COSIGNATURE_V1, MLDSA44, CosignatureVerifier, MlDsaVerifier
from exchange.ledger.errors import KeyUnsupported
from exchange.ledger.note import ED25519, NoteVerifier, Verifier, decode_vkey


def parse_vkey(text: str) -> Verifier:
    """The verifier that a vkey describes; ``.vkey`` gives the same text back.

    Raises:
        KeyMalformed: not a vkey, or not a key of its type.
        KeyUnsupported: a key type that we, or this machine, cannot check.
    """
    key, kind, public_key = decode_vkey(text)
    if kind == ED25519:
        return NoteVerifier(key.name, public_key)
    if kind == COSIGNATURE_V1:
        return CosignatureVerifier(key.name, public_key)
    if kind == MLDSA44:
        return MlDsaVerifier(key.name, public_key)
    raise KeyUnsupported(kind=f"0x{kind:02x}")
