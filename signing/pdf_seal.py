"""Putting a seal on a PDF: PAdES-B-B with a red stamp, as an incremental update.

The document's own bytes stay as they are; the seal is appended. The first seal
certifies the document against every change (DocMDP, no changes), unless further
units are to seal it after this one. The claimed time stands in ``/M``; ETSI
EN 319 142-1 forbids the signing-time attribute in a PAdES signature.

    sealed = seal_pdf(pdf, signer=signer, certificates=(own, issuing_ca), stamp=Stamp("临江市教育局"),
                      reason="发文", at=now)

pyHanko writes the PDF and the CMS; the key stays behind our ``Signer``. Nothing
here asks whether the certificate is any good: ``pdf_check`` does, and who seals
is well advised to ask it at once.
"""

# mypy: allow-untyped-calls
# (pyHanko is typed in part only.)
from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import BytesIO

from asn1crypto import tsp
from asn1crypto import x509 as asn1_x509
from asn1crypto.algos import SignedDigestAlgorithm
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.content import PdfResources, RawContent
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import AxisAlignment, BoxConstraints, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.sign.attributes import (
    CMSAlgorithmProtectionProvider,
    CMSAttributeProvider,
    SignedAttributeProviderSpec,
)
from pyhanko.sign.fields import (
    MDPPerm,
    SigFieldSpec,
    SigSeedSubFilter,
    enumerate_sig_fields,
)
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.signers.pdf_cms import Signer as HankoSigner
from pyhanko.sign.signers.pdf_signer import PdfSignatureMetadata, PdfSigner
from pyhanko.stamp import StaticStampStyle
from pyhanko.stamp.static import StaticContentStamp
from pyhanko_certvalidator.registry import SimpleCertificateStore

from pki.keys import Algorithm, Signer
from signing.blocking import run_to_end
from signing.errors import (
    DocumentFrozen,
    DocumentMalformed,
    PageMissing,
    SealRefused,
    SignerUnfit,
    StampOffPage,
)
from signing.pdf_content import scan_content
from signing.pdf_reader import Page, guarded, open_pdf, page_at, page_count
from signing.report import Severity
from signing.stamp import MM, Stamp, StampDrawing, StampPlace, draw_stamp

MAX_SIZE = 256 * 1024 * 1024
MAX_CERTIFICATES = 8


def seal_pdf(
    pdf: bytes,
    *,
    signer: Signer,
    certificates: Sequence[x509.Certificate],
    at: datetime,
    stamp: Stamp | None = None,
    place: StampPlace | None = None,
    reason: str | None = None,
    location: str | None = None,
    further_seals: bool = False,
) -> bytes:
    """The document with one more seal on it.

    ``certificates`` are the signer's own first, then its path without the anchor.
    Without a ``stamp`` the seal is invisible; without a ``place`` it presses on the
    date at the lower right of the last page. With ``further_seals`` the first seal
    allows other units to add theirs, and nothing else.

    The input is a prefix of the output. A stamp presses: it is drawn over the text, not under it.

    Raises:
        DocumentMalformed, DocumentEncrypted: it cannot be read, or only with a password.
        DocumentFrozen: it is certified against every change.
        PageMissing, StampOffPage: the stamp has no place there.
        SealRefused: it is too large, or holds programs, an XFA form or parts outside of it.
        SignerUnfit: the key is of no suite (Ed25519), or not the first certificate's.
        GlyphMissing, DrawingImpossible: the stamp cannot be drawn.
    """
    hash_name = _check_signer(signer, certificates)
    if len(pdf) > MAX_SIZE:
        raise SealRefused(f"it is larger than {MAX_SIZE} bytes")
    reader = open_pdf(pdf)
    names, first = _check_sealable(reader)
    drawing = draw_stamp(stamp) if stamp is not None else None
    field, turn = _field(_fresh_name(names), reader, drawing, place)

    meta = PdfSignatureMetadata(
        field_name=field.sig_field_name,
        md_algorithm=hash_name,
        subfilter=SigSeedSubFilter.PADES,
        certify=first,
        docmdp_permissions=MDPPerm.FILL_FORMS if further_seals else MDPPerm.NO_CHANGES,
        reason=reason,
        location=location,
        app_build_props=None,
    )
    encoded = [certificate.public_bytes(Encoding.DER) for certificate in certificates]
    # Twice: the CMS is written in hexadecimal. What is not needed stays zeros, and every reader reads
    # them, so the margin is small and a larger signature is tried again with room for it.
    reserved = 2 * (sum(map(len, encoded)) + (1536 if signer.algorithm is Algorithm.RSA_SHA256 else 1152))
    for _ in range(4):
        try:
            return run_to_end(
                _seal(pdf, meta, field, drawing, turn, _Hanko(signer, encoded), hash_name, reserved, at)
            )
        except _TooLarge as error:
            reserved = 2 * error.needed + 1024
    raise SealRefused("the signature grows faster than the room made for it")


class _TooLarge(Exception):
    def __init__(self, needed: int) -> None:
        self.needed = needed
        super().__init__()


def _check_signer(signer: Signer, certificates: Sequence[x509.Certificate]) -> str:
    """The hash to use. Raises SignerUnfit."""
    if signer.algorithm is Algorithm.ED25519:
        raise SignerUnfit("Ed25519 is not for seals (FORMATS §1)")
    if not 1 <= len(certificates) <= MAX_CERTIFICATES:
        raise SignerUnfit(f"1 to {MAX_CERTIFICATES} certificates are needed")
    if certificates[0].public_key() != signer.public_key:
        raise SignerUnfit("the first certificate is not the key's")
    return signer.algorithm.hash_name


def _check_sealable(reader: PdfFileReader) -> tuple[set[str], bool]:
    """Names of the fields that are there, and whether ours is the first seal."""

    def look() -> tuple[set[str], bool]:
        names, first = set(), True
        for name, value, _ in enumerate_sig_fields(reader):
            names.add(str(name))
            if value is not None:
                first = False
        perms = reader.root.get("/Perms")
        if perms is not None and "/DocMDP" in perms:
            for reference in perms["/DocMDP"].get("/Reference", ()):
                transform = reference.get_object()
                if transform["/TransformMethod"] == "/DocMDP":
                    level = int(transform["/TransformParams"].get("/P", 2))
                    if level == MDPPerm.NO_CHANGES.value:
                        raise DocumentFrozen("no further seal may be added to it")
        return names, first

    # Sealed with such contents, it would be refused wherever it is judged.
    for finding in scan_content(reader):
        if finding.severity is Severity.ERROR:
            raise SealRefused(str(finding.text))
    try:
        return guarded(look)
    except DocumentMalformed as error:
        if isinstance(error.__cause__, SealRefused):
            raise error.__cause__ from None
        raise


def _fresh_name(names: set[str]) -> str:
    for number in range(1, 1000):
        if f"Seal{number}" not in names:
            return f"Seal{number}"
    raise SealRefused("it has too many signature fields")


def _field(
    name: str, reader: PdfFileReader, drawing: StampDrawing | None, place: StampPlace | None
) -> tuple[SigFieldSpec, int]:
    """The new signature field, and how far the stamp must be turned to stand upright."""
    pages = page_count(reader)
    if drawing is None:
        return SigFieldSpec(name), 0
    number = place.page if place is not None else -1
    if not -pages <= number < pages:
        raise PageMissing(page=number + 1 if number >= 0 else number, pages=pages)
    page = page_at(reader, number % pages)
    box = _stamp_box(page, drawing.size, place or _over_the_date(page))
    return SigFieldSpec(name, on_page=number % pages, box=box), page.rotation


def _over_the_date(page: Page) -> StampPlace:
    """GB/T 9704 puts name and date four characters from the right edge of the text, at the end of it."""
    return StampPlace(-1, (page.width / MM) - 26 - 44, (page.height / MM) - 35 - 60)


def _stamp_box(page: Page, size: float, place: StampPlace) -> tuple[int, int, int, int]:
    """The square of the stamp in user space, in whole points."""
    if not (math.isfinite(place.x_mm) and math.isfinite(place.y_mm)):
        raise StampOffPage("its place is not a number")
    u, v = place.x_mm * MM, page.height - place.y_mm * MM
    half = size / 2
    if u < half or v < half or u > page.width - half or v > page.height - half:
        raise StampOffPage(
            f"its middle at {place.x_mm:.0f} mm, {place.y_mm:.0f} mm leaves no room for its edge"
        )
    left, bottom, right, top = page.box
    # From the displayed page back to user space: /Rotate turns the page clockwise (ISO 32000-2, 7.7.3.3).
    x, y = {
        0: (left + u, bottom + v),
        90: (right - v, bottom + u),
        180: (right - u, top - v),
        270: (left + v, top - u),
    }[page.rotation]
    return (round(x - half), round(y - half), round(x - half) + round(size), round(y - half) + round(size))


class _SealStamp(StaticContentStamp):
    """The drawing as an appearance stream, compressed."""

    def as_form_xobject(self) -> generic.StreamObject:
        form = super().as_form_xobject()
        form.compress()
        return form


class _SealStyle(StaticStampStyle):
    """pyHanko's static style without its border and margins."""

    def create_stamp(
        self, writer: BasePdfFileWriter, box: BoxConstraints, text_params: dict[str, object]
    ) -> StaticContentStamp:
        return _SealStamp(writer=writer, style=self, box=box)


def _style(drawing: StampDrawing, turn: int) -> StaticStampStyle:
    half = drawing.size / 2
    c, s = round(math.cos(math.radians(turn))), round(math.sin(math.radians(turn)))
    # Turn about the middle: to the origin, turn, and back.
    matrix = (c, s, -s, c, half - c * half + s * half, half - s * half - c * half)
    placed = b"q /Ink gs " + " ".join(f"{m:.3f}" for m in matrix).encode() + b" cm " + drawing.content + b" Q"
    resources = PdfResources()
    # As ink on paper: the text under the stamp stays legible.
    resources.ext_g_state[generic.pdf_name("/Ink")] = generic.DictionaryObject(
        {generic.pdf_name("/BM"): generic.pdf_name("/Multiply")}
    )
    return _SealStyle(
        border_width=0,
        background=RawContent(placed, resources, BoxConstraints(width=drawing.size, height=drawing.size)),
        background_layout=SimpleBoxLayoutRule(
            x_align=AxisAlignment.ALIGN_MID, y_align=AxisAlignment.ALIGN_MID, margins=Margins.uniform(0)
        ),
        background_opacity=1.0,
    )


class _SigningCertificates(CMSAttributeProvider):
    """signingCertificateV2 over every certificate that travels along, the signer's own first.

    RFC 5035 §5.4 allows it. So all of them are under the signature, and a certificate
    that was changed or slipped in is seen without asking whose it is.
    """

    attribute_type = "signing_certificate_v2"

    def __init__(self, encoded: Sequence[bytes]) -> None:
        self._encoded = encoded

    async def build_attr_value(self, dry_run: bool = False) -> tsp.SigningCertificateV2:
        return tsp.SigningCertificateV2(
            {"certs": [{"cert_hash": hashlib.sha256(der).digest()} for der in self._encoded]}
        )


class _SignedAttributes(SignedAttributeProviderSpec):
    """What is signed beside content type and digest.

    The algorithm identifiers too (RFC 6211): an RSA signature has two spellings that
    mean the same, and one could be changed into the other unnoticed.
    """

    def __init__(self, encoded: Sequence[bytes], mechanism: SignedDigestAlgorithm) -> None:
        self._encoded = encoded
        self._mechanism = mechanism

    def signed_attr_providers(
        self, data_digest: bytes, digest_algorithm: str
    ) -> Iterable[CMSAttributeProvider]:
        yield _SigningCertificates(self._encoded)
        yield CMSAlgorithmProtectionProvider(digest_algo=digest_algorithm, signature_algo=self._mechanism)


class _Hanko(HankoSigner):
    """Our Signer as pyHanko wants one. The key is loaded already and is not looked at again (trap T17)."""

    def __init__(self, signer: Signer, encoded: Sequence[bytes]) -> None:
        own, *others = (asn1_x509.Certificate.load(der, strict=True) for der in encoded)
        # pyHanko adds the signer's own; listed here as well, it would stand in the CMS twice.
        super().__init__(signing_cert=own, cert_registry=SimpleCertificateStore.from_certs(others))
        self._ours = signer
        self.signed_attr_prov_spec = _SignedAttributes(
            encoded, self.get_signature_mechanism_for_digest(signer.algorithm.hash_name)
        )

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if digest_algorithm != self._ours.algorithm.hash_name:
            raise SignerUnfit(f"{digest_algorithm} is not the key's hash")
        return self._ours.sign(data)


class _Writer(IncrementalPdfFileWriter):
    """Leaves the document's metadata alone: when it was sealed stands in the seal, and nothing else changed."""

    def _update_meta(self) -> None:
        return


async def _seal(
    pdf: bytes,
    meta: PdfSignatureMetadata,
    field: SigFieldSpec,
    drawing: StampDrawing | None,
    turn: int,
    hanko: _Hanko,
    hash_name: str,
    reserved: int,
    at: datetime,
) -> bytes:
    # Opened anew for each attempt: a writer that was used up carries the field of the failed one.
    writer = _Writer(BytesIO(pdf), strict=True)
    style = None if drawing is None else _style(drawing, turn)
    pdf_signer = PdfSigner(meta, hanko, stamp_style=style, new_field_spec=field)
    session = pdf_signer.init_signing_session(writer)
    session.system_time = at
    document = session.prepare_tbs_document(validation_info=None, bytes_reserved=reserved)
    output = BytesIO()
    prepared, _ = document.digest_tbs_document(output=output)
    cms = await hanko.async_sign(
        prepared.document_digest,
        hash_name,
        use_pades=True,
        signed_attr_settings=PdfCMSSignedAttributes(),
    )
    encoded: bytes = cms.dump()
    if 2 * len(encoded) > reserved:
        raise _TooLarge(len(encoded))
    prepared.fill_with_cms(output, encoded)
    return output.getvalue()


__all__ = ["StampPlace", "seal_pdf"]
