"""Keys that sign and keys that check, and which of them we accept.

Accepted are P-256, P-384, RSA of 2048 bits and more, and Ed25519, each with one
hash. Everything that signs does it through :class:`Signer`, so that a key file, a
token and a remote service look alike. Where keys live is ``keyfile`` and
``storage/keys``; SM2 is another suite and not here.

FIPS 186-5, RFC 8017, RFC 8032.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from functools import cache
from typing import Protocol, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from pki.errors import KeyRefused, SignatureInvalid

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_Hash: TypeAlias = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

RSA_MINIMUM_BITS = 2048
RSA_MAXIMUM_BITS = 8192
"""Above it a single check costs so much that it serves only to slow us down."""


class Algorithm(Enum):
    """A signature algorithm with its key and its hash; the value is its name in files and tables."""

    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"
    ECDSA_P384_SHA384 = "ecdsa-p384-sha384"
    RSA_SHA256 = "rsa-sha256"
    ED25519 = "ed25519"

    @property
    def hash_name(self) -> str:
        """The hash that goes with it, as ``hashlib`` spells it.

        Ed25519 hashes inside; its companion in CMS is SHA-512 (RFC 8419).
        """
        return _HASH_NAMES[self]

    def digest(self, content: bytes) -> bytes:
        """The content's digest by that hash."""
        return hashlib.new(self.hash_name, content).digest()


_HASH_NAMES = {
    Algorithm.ECDSA_P256_SHA256: "sha256",
    Algorithm.ECDSA_P384_SHA384: "sha384",
    Algorithm.RSA_SHA256: "sha256",
    Algorithm.ED25519: "sha512",
}
_HASHES: dict[str, _Hash] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_ECDSA = {name: ec.ECDSA(algorithm) for name, algorithm in _HASHES.items()}
_PKCS1 = padding.PKCS1v15()


def hash_of(algorithm: Algorithm) -> _Hash | None:
    """The hash object for ``cryptography``'s builders; none for Ed25519, which takes none."""
    return None if algorithm is Algorithm.ED25519 else _HASHES[algorithm.hash_name]


class Signer(Protocol):
    """A private key, wherever it lives."""

    @property
    def algorithm(self) -> Algorithm:
        """What its signatures are; never changes."""

    @property
    def public_key(self) -> PublicKey:
        """The key that checks its signatures; never changes."""

    def sign(self, message: bytes) -> bytes:
        """Sign the message itself (not its digest).

        ECDSA signatures are DER ``Ecdsa-Sig-Value``, RSA ones PKCS #1 v1.5. Safe to
        call from several threads.
        """


def algorithm_of(public_key: object) -> Algorithm:
    """The algorithm that signatures of this key have with us.

    Raises:
        KeyRefused: a key that :func:`check_public_key` refuses.
    """
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        # A key that spells out the parameters of P-256 looks the same here (trap T8): who reads
        # keys from outside compares their encoding, as decode_public_key and facts do.
        if isinstance(public_key.curve, ec.SECP256R1):
            return Algorithm.ECDSA_P256_SHA256
        if isinstance(public_key.curve, ec.SECP384R1):
            return Algorithm.ECDSA_P384_SHA384
        raise KeyRefused(detail=f"curve {public_key.curve.name}; P-256 and P-384 are accepted")
    if isinstance(public_key, rsa.RSAPublicKey):
        bits = public_key.key_size
        if not RSA_MINIMUM_BITS <= bits <= RSA_MAXIMUM_BITS:
            raise KeyRefused(
                detail=f"RSA of {bits} bits; {RSA_MINIMUM_BITS} to {RSA_MAXIMUM_BITS} are accepted"
            )
        exponent = public_key.public_numbers().e
        # FIPS 186-5 wants 2^16 < e < 2^256; 65537 and a little more is all that is ever met.
        if exponent % 2 == 0 or not 2**16 < exponent < 2**32:
            raise KeyRefused(detail=f"RSA exponent {exponent}; odd ones above 65536 are accepted")
        return Algorithm.RSA_SHA256
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return Algorithm.ED25519
    raise KeyRefused(detail=f"a {type(public_key).__name__}; P-256, P-384, RSA and Ed25519 are accepted")


def check_public_key(key: object) -> None:
    """Refuse any key but P-256, P-384, RSA of 2048 to 8192 bits with a sane exponent, and Ed25519.

    Raises:
        KeyRefused: says which rule.
    """
    algorithm_of(key)


def accepted_key(key: object) -> PublicKey:
    """The same key, known to be of an accepted kind.

    Raises:
        KeyRefused: as :func:`check_public_key`.
    """
    algorithm_of(key)
    if not isinstance(key, PublicKey):
        raise KeyRefused(detail=f"a {type(key).__name__}")
    return key


def encode_public_key(key: PublicKey) -> bytes:
    """The key as DER SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def decode_public_key(der: bytes) -> PublicKey:
    """An accepted public key from DER SubjectPublicKeyInfo; strict inverse of :func:`encode_public_key`.

    Raises:
        KeyRefused: not a key, or not one that we accept.
    """
    try:
        key = accepted_key(serialization.load_der_public_key(der))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefused(detail="not a public key that can be read") from error
    if encode_public_key(key) != der:
        raise KeyRefused(detail="the public key is not in strict DER")
    return key


class SoftwareSigner:
    """A :class:`Signer` over a private key in memory, loaded and checked once."""

    __slots__ = ("_key", "algorithm", "public_key")

    algorithm: Algorithm
    public_key: PublicKey

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key()
        self.algorithm = algorithm_of(self.public_key)

    @classmethod
    def generate(cls, algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256) -> SoftwareSigner:
        """A fresh key from the system's generator; RSA gets 3072 bits."""
        if algorithm is Algorithm.ECDSA_P256_SHA256:
            return cls(ec.generate_private_key(ec.SECP256R1()))
        if algorithm is Algorithm.ECDSA_P384_SHA384:
            return cls(ec.generate_private_key(ec.SECP384R1()))
        if algorithm is Algorithm.ED25519:
            return cls(ed25519.Ed25519PrivateKey.generate())
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=3072))

    @classmethod
    def from_pkcs8(cls, der: bytes) -> SoftwareSigner:
        """The key in unencrypted PKCS #8; used by the key file alone.

        Raises:
            KeyRefused: not a private key, or not one that we accept.
        """
        try:
            key = serialization.load_der_private_key(der, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyRefused(detail="not a private key that can be read") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
            raise KeyRefused(detail=f"a {type(key).__name__}")
        return cls(key)

    def to_pkcs8(self) -> bytes:
        """The private key in clear; only the key file calls this, and encrypts it."""
        return self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def private_key(self) -> PrivateKey:
        """The key object, for what takes nothing else (TLS contexts, ``cryptography``'s own builders)."""
        return self._key

    def sign(self, message: bytes) -> bytes:
        """As :meth:`Signer.sign` promises."""
        key = self._key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, _ECDSA[self.algorithm.hash_name])
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(message, _PKCS1, _HASHES["sha256"])
        return key.sign(message)

    def __repr__(self) -> str:
        # Never the key: this line ends up in logs.
        return f"SoftwareSigner({self.algorithm.value})"


@cache
def throw_away_signer(algorithm: Algorithm) -> SoftwareSigner:
    """A key that ``cryptography``'s builders may sign with, so that we get the bytes to sign ourselves.

    Its signatures prove nothing and are cut off at once; it may be shared.
    """
    return SoftwareSigner.generate(algorithm)


def check_signature(
    public_key: PublicKey,
    signature: bytes,
    message: bytes,
    *,
    algorithm: Algorithm,
    hash_name: str | None = None,
) -> None:
    """Return only if the signature fits key and message.

    The caller says which algorithm it expects; one that the key does not have is a
    refusal, so that a message cannot choose its own. Other people's seals may use
    SHA-384 or SHA-512 with a key whose usual hash is another: name it in
    ``hash_name``; anything weaker than SHA-256 is refused.

    Raises:
        KeyRefused: the key is not one that we accept.
        SignatureInvalid: it does not fit.
    """
    if algorithm_of(public_key) is not algorithm:
        raise SignatureInvalid(detail=f"the key is not one for {algorithm.value}")
    name = hash_name or algorithm.hash_name
    if name not in _HASHES:
        raise SignatureInvalid(detail=f"hash {name} is refused")
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, message, _ECDSA[name])
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, message, _PKCS1, _HASHES[name])
        else:
            public_key.verify(signature, message)
    except InvalidSignature as error:
        raise SignatureInvalid(detail="it does not fit the key and the content") from error
