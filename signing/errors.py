"""What can go wrong with seals, and with the files that carry them.

SigningError
├── CmsMalformed              the signature file is not of the profile (or not a CMS at all)
│   └── DerMalformed          not strict DER to begin with
├── AlgorithmForbidden        an algorithm that we do not accept in a signature
├── DigestMismatch            the content is not the one that was signed
├── SignerUnknown             the certificate that a signer names is not in the file
├── SignerUnfit               a key or certificate that may not make such a signature (our side, when making)
├── CertificateUnprotected    a certificate in the file that no signature and no issuer vouches for
├── SealMissing               a seal was expected and there is none
├── ContainerMalformed        the zip is not of the profile
│   └── ManifestMalformed     the ASiC manifest in it is not
├── DocumentMalformed         the document cannot be read (the PDF and OFD errors stand below it)
│   ├── ByteRangeMalformed    a PDF seal does not lie in the file as it must
│   └── DocumentEncrypted     it can be read by the holder of a password only
├── SealRefused               we will not put this seal on this document (our side, when sealing)
│   ├── DocumentFrozen        an earlier seal certified it against every change
│   ├── PageMissing           the page to be sealed is not there
│   └── StampOffPage          the stamp would stand off the page
├── DrawingImpossible         a document or a stamp cannot be drawn as asked
│   ├── FontUnusable          not a TrueType font with Unicode characters
│   └── GlyphMissing          characters that the font does not have
└── SandboxBroken             a judging process cannot be started, or the pool is closed

A signature value that does not verify is ``pki.keys``'s ``SignatureInvalid``;
a path that does not hold is one of ``pki.path``'s errors.
"""

from __future__ import annotations

from pki.errors import Fault, Mender
from pki.text import N_


class SigningError(Fault):
    """Something about a seal or the file that carries it."""

    code = "signing"
    mender = Mender.SENDER


class CmsMalformed(SigningError):
    """Not a signature file of the profile (FORMATS §1); ``detail`` says where it departs."""

    code = "cms-malformed"
    template = N_("the signature file is malformed: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class DerMalformed(CmsMalformed):
    """Not strict DER: the value has another, shorter or canonical encoding, or none."""

    code = "der-malformed"
    template = N_("the signature file is not strict DER: {detail}")


class AlgorithmForbidden(SigningError):
    """A digest, key or signature algorithm that we do not accept in a signature; nothing was checked."""

    code = "algorithm-forbidden"
    template = N_("the signature uses an algorithm that is not accepted: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class DigestMismatch(SigningError):
    """The content's digest is not the signed one: the content was changed, or is another."""

    code = "digest-mismatch"
    template = N_(
        "the content is not the one that was signed: its digest is {actual}, the signed one {expected}"
    )

    def __init__(self, *, expected: bytes, actual: bytes) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(expected=expected.hex(), actual=actual.hex())


class SignerUnknown(SigningError):
    """The signer names a certificate that is not there, or not the one it binds itself to."""

    code = "signer-unknown"
    template = N_("the signer's certificate cannot be told: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class SignerUnfit(SigningError):
    """A key or certificate that may not make this signature; nothing was made."""

    code = "signer-unfit"
    template = N_("this key cannot make the signature: {detail}")
    mender = Mender.OPERATOR

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class CertificateUnprotected(SigningError):
    """A certificate in the file lies on no signer's path and no known issuer vouches for it.

    Nothing signed covers it, so nobody can say whether it was always there.
    """

    code = "certificate-unprotected"
    template = N_("certificate {fingerprint} in the signature file is vouched for by nobody")

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(fingerprint=fingerprint)


class SealMissing(SigningError):
    """A seal was expected, and there is none."""

    code = "seal-missing"
    template = N_("no seal was found: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class ContainerMalformed(SigningError):
    """Not a container of the profile (FORMATS §5, §6): another writer made it, or it was changed."""

    code = "container-malformed"
    template = N_("the container is malformed: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class ManifestMalformed(ContainerMalformed):
    """The container's ASiCManifest is not of the profile."""

    code = "manifest-malformed"
    template = N_("the container's manifest is malformed: {detail}")


class DocumentMalformed(SigningError):
    """The document cannot be read as what it says it is."""

    code = "document-malformed"
    template = N_("the document cannot be read: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class ByteRangeMalformed(DocumentMalformed):
    """A PDF seal does not lie in the file as it must: bytes escape it, or stand where they may not."""

    code = "byte-range-malformed"
    template = N_("the seal's byte range is wrong: {detail}")


class DocumentEncrypted(DocumentMalformed):
    """The document opens only with a password; what it shows cannot be judged without it."""

    code = "document-encrypted"
    template = N_("the document is encrypted: {detail}")


class SealRefused(SigningError):
    """This seal is not put on this document; nothing was made."""

    code = "seal-refused"
    template = N_("the document cannot be sealed: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class DocumentFrozen(SealRefused):
    """An earlier seal certified the document against every change, another seal included."""

    code = "document-frozen"
    template = N_("the document is certified against every change: {detail}")


class PageMissing(SealRefused):
    """The document has no such page."""

    code = "page-missing"
    template = N_("the document has {pages} pages, so page {page} cannot be sealed")

    def __init__(self, *, page: int, pages: int) -> None:
        self.page = page
        self.pages = pages
        SigningError.__init__(self, page=page, pages=pages)


class StampOffPage(SealRefused):
    """Some of the stamp would stand off the page, where nobody sees it."""

    code = "stamp-off-page"
    template = N_("the stamp would not stand on the page: {detail}")


class DrawingImpossible(SigningError):
    """A document or a stamp cannot be drawn as asked."""

    code = "drawing-impossible"
    template = N_("this cannot be drawn: {detail}")

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)


class FontUnusable(DrawingImpossible):
    """The font file is not a TrueType font with Unicode characters."""

    code = "font-unusable"
    template = N_("the font file cannot be used: {detail}")


class GlyphMissing(DrawingImpossible):
    """The font lacks characters; an empty box in an official document would be a forgery by accident."""

    code = "glyph-missing"
    template = N_("the font has no glyph for: {characters}")

    def __init__(self, characters: str) -> None:
        self.characters = characters
        SigningError.__init__(self, characters=characters)


class SandboxBroken(SigningError):
    """A judging process cannot be started, or the pool is closed. Nothing was judged."""

    code = "sandbox-broken"
    template = N_("the judging processes are not available: {detail}")
    mender = Mender.OPERATOR

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail=detail)
