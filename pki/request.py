"""Requests for a certificate, and the proof that the requester holds the key.

A request contributes its key and nothing else: the subject and every extension it
asks for are ignored, since both come from the register (weakness 26). Strict PKCS #10
(RFC 2986).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.asn1 import (
    ACCEPTED_SIGNATURE_OIDS,
    DerError,
    encode_sequence,
    encode_signed,
    encode_tlv,
    pem_or_der,
    read_signed,
)
from pki.errors import PossessionNotProven, RequestMalformed
from pki.keys import PublicKey, Signer, accepted_key, encode_public_key

REQUEST_LIMIT = 16 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A key whose holder asks for a certificate, possession proven."""

    der: bytes
    public_key: PublicKey


def make_request(signer: Signer, *, common_name: str = "request") -> bytes:
    """A request in DER for the signer's key, without attributes.

    The name in it is for whoever looks at the file; the authority does not read it.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    information = encode_sequence(
        encode_tlv(0x02, b"\x00"),
        subject.public_bytes(),
        encode_public_key(signer.public_key),
        encode_tlv(0xA0, b""),
    )
    return encode_signed(information, signer.algorithm, signer.sign(information))


def check_request(data: bytes) -> Request:
    """The key of a request (DER, or one PEM block), proven to be the requester's.

    (1) At most 16 KiB of strict DER, (2) a key that we accept, (3) an accepted signature
    algorithm, and (4) a signature by that very key over the request.

    Raises:
        RequestMalformed: not exactly one request.
        KeyRefused: a key that we do not certify.
        PossessionNotProven: the signature is not by that key, or of an algorithm we refuse.
    """
    # (1)
    if len(data) > REQUEST_LIMIT:
        raise RequestMalformed(detail=f"larger than {REQUEST_LIMIT} octets")
    try:
        blocks = pem_or_der(data, "CERTIFICATE REQUEST")
        if len(blocks) != 1:
            raise DerError("more than one request")
        der = blocks[0]
        signed, _ = read_signed(der)
        request = x509.load_der_x509_csr(der)
        # Subject and extensions are parsed although nobody reads them: what is kept on file is whole.
        request.subject.public_bytes()
        _ = [extension.value for extension in request.extensions]
        key = request.public_key()
    except Exception as error:
        raise RequestMalformed(detail=f"{type(error).__name__}: {error}"[:200]) from error
    # (2)
    certified = accepted_key(key)
    if encode_public_key(certified) not in signed:
        raise RequestMalformed(detail="its key is not in DER")
    # (3)
    if request.signature_algorithm_oid.dotted_string not in ACCEPTED_SIGNATURE_OIDS:
        raise PossessionNotProven()
    # (4)
    try:
        proven = request.is_signature_valid
    except Exception as error:
        # An algorithm that is not the key's.
        raise PossessionNotProven() from error
    if not proven:
        raise PossessionNotProven()
    return Request(der, certified)
