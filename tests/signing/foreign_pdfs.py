"""Seals made by pyHanko's own signer, and time stamps, for the tests."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from io import BytesIO

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.keys.internal import translate_pyca_cryptography_key_to_asn1
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.timestamps import TimeStamper
from pyhanko_certvalidator.registry import SimpleCertificateStore

from pki.keys import Algorithm
from tests.worlds.pki import NOW, Credential


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def foreign_signer(credential: Credential, *, prefer_pss: bool = False) -> signers.SimpleSigner:
    """pyHanko's signer with a key of our world."""
    return signers.SimpleSigner(
        signing_cert=_asn1(credential.certificate),
        signing_key=translate_pyca_cryptography_key_to_asn1(credential.signer.private_key),
        cert_registry=SimpleCertificateStore.from_certs([_asn1(one) for one in credential.others]),
        prefer_pss=prefer_pss,
    )


def foreign_seal(
    pdf: bytes,
    credential: Credential,
    *,
    subfilter: SigSeedSubFilter = SigSeedSubFilter.PADES,
    prefer_pss: bool = False,
    stamper: TimeStamper | None = None,
    at: datetime = NOW,
) -> bytes:
    """The document signed as a pyHanko user would."""
    meta = signers.PdfSignatureMetadata(field_name="Sig1", subfilter=subfilter, md_algorithm="sha256")
    signer = signers.PdfSigner(meta, foreign_signer(credential, prefer_pss=prefer_pss), timestamper=stamper)
    return asyncio.run(_sign(signer, pdf, at))


async def _sign(signer: signers.PdfSigner, pdf: bytes, at: datetime) -> bytes:
    """``PdfSigner.sign_pdf`` with a clock of ours."""
    session = signer.init_signing_session(IncrementalPdfFileWriter(BytesIO(pdf)))
    session.system_time = at
    document = session.prepare_tbs_document(None, bytes_reserved=16384)
    output = BytesIO()
    prepared, _ = document.digest_tbs_document(output=output)
    await document.perform_signature(
        document_digest=prepared.document_digest,
        pdf_cms_signed_attrs=PdfCMSSignedAttributes(signing_time=at),
    )
    return output.getvalue()


def timed_seal(pdf: bytes, credential: Credential, stamping: Credential, *, at: datetime) -> bytes:
    """The document signed with a signature time stamp (B-T)."""
    return foreign_seal(pdf, credential, stamper=WorldTimeStamper(stamping, at))


def document_time_stamp(pdf: bytes, stamping: Credential, *, at: datetime) -> bytes:
    """The document with a time stamp of its own behind everything (as in B-LTA)."""
    output = signers.PdfTimeStamper(WorldTimeStamper(stamping, at)).timestamp_pdf(
        IncrementalPdfFileWriter(BytesIO(pdf)), md_algorithm="sha256", bytes_reserved=16384
    )
    return bytes(output.getvalue())


class WorldTimeStamper(TimeStamper):
    """An authority of our world that stamps whatever it is given, at one time."""

    def __init__(self, credential: Credential, at: datetime) -> None:
        super().__init__()
        self._credential = credential
        self._at = at

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        token = time_stamp_token(
            req["message_imprint"], self._credential, self._at, nonce=req["nonce"].native
        )
        return tsp.TimeStampResp(
            {"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(token)}
        )


def time_stamp_token(
    imprint: tsp.MessageImprint, credential: Credential, at: datetime, *, nonce: int | None = None
) -> bytes:
    """An RFC 3161 token over an imprint."""
    assert credential.signer.algorithm is Algorithm.ECDSA_P256_SHA256
    values = {
        "version": "v1",
        "policy": "1.2.3.4",
        "message_imprint": imprint,
        "serial_number": 7,
        "gen_time": at,
    }
    if nonce is not None:
        values["nonce"] = nonce
    statement = tsp.TSTInfo(values).dump()
    own = _asn1(credential.certificate)
    digest = algos.DigestAlgorithm({"algorithm": "sha256"})
    attributes = cms.CMSAttributes(
        sorted(
            (
                cms.CMSAttribute({"type": "content_type", "values": ["tst_info"]}),
                cms.CMSAttribute({"type": "message_digest", "values": [hashlib.sha256(statement).digest()]}),
                cms.CMSAttribute(
                    {
                        "type": "signing_certificate_v2",
                        "values": [
                            tsp.SigningCertificateV2(
                                {"certs": [{"cert_hash": hashlib.sha256(own.dump()).digest()}]}
                            )
                        ],
                    }
                ),
            ),
            key=lambda one: one.dump(),
        )
    )
    info = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": {
                        "issuer": own.issuer,
                        "serial_number": own.serial_number,
                    }
                }
            ),
            "digest_algorithm": digest,
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": credential.signer.sign(attributes.untag().dump()),
        }
    )
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [digest],
            "encap_content_info": {
                "content_type": "tst_info",
                "content": core.ParsableOctetString(statement),
            },
            "certificates": [_asn1(one) for one in credential.chain],
            "signer_infos": [info],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump())


def key_pem(credential: Credential) -> bytes:
    """The private key as OpenSSL reads it."""
    return credential.signer.private_key.private_bytes(
        Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
