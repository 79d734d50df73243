"""Sealing PDFs: what comes out, what other programs say of it, what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pypdfium2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from clients.official_paper import seal_centre
from pki.errors import Fault
from pki.keys import Algorithm, SoftwareSigner
from signing.errors import (
    DocumentEncrypted,
    DocumentFrozen,
    DocumentMalformed,
    GlyphMissing,
    PageMissing,
    SealRefused,
    SignerUnfit,
    StampOffPage,
)
from signing.pdf_bytes import read_byte_range, read_gap
from signing.pdf_seal import seal_pdf
from signing.report import Verdict
from signing.stamp import Stamp, StampPlace
from tests.signing import attacks
from tests.signing.attacks import byte_range
from tests.signing.pdfs import DOCUMENT, judged, plain_pdf, seal, sealed_pdf, unit, world
from tests.tools import need
from tests.worlds.pki import NOW

ALGORITHMS = [Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256]


def placed(pdf: bytes, place: StampPlace | None, stamp: Stamp | None = None) -> bytes:
    credential = unit().seal
    return seal_pdf(
        pdf,
        signer=credential.signer,
        certificates=credential.chain,
        at=NOW,
        stamp=stamp or Stamp("临江市教育局"),
        place=place,
    )


def red_centre(pdf: bytes, page: int) -> tuple[float, float] | None:
    """The middle of what is red on a page as displayed, as fractions of its width and height."""
    document = pypdfium2.PdfDocument(pdf)
    document.init_forms()
    image = document[page % len(document)].render(scale=0.5).to_pil().convert("RGB")
    width, height = image.size
    red = [
        (at % width, at // width)
        for at, (r, g, b) in enumerate(image.get_flattened_data())
        if r > 150 and g < 110 and b < 110
    ]
    document.close()
    if not red:
        return None
    xs, ys = [x for x, _ in red], [y for _, y in red]
    return ((min(xs) + max(xs)) / 2 / width, (min(ys) + max(ys)) / 2 / height)


def rotated(pdf: bytes, turn: int) -> bytes:
    out = IncrementalPdfFileWriter(BytesIO(pdf))
    ref = out.find_page_for_modification(1)[0]
    ref.get_object()[pdf_name("/Rotate")] = generic.NumberObject(turn)
    out.mark_update(ref)
    result = BytesIO()
    out.write(result)
    return result.getvalue()


def test_the_document_is_a_prefix_of_the_sealed_one() -> None:
    assert sealed_pdf().startswith(plain_pdf())


def test_the_stamp_presses_on_the_date() -> None:
    centre = seal_centre(DOCUMENT)
    found = red_centre(sealed_pdf(), centre.page)
    assert found is not None
    assert found[0] * 210 == pytest.approx(centre.x_mm, abs=1.5)
    assert found[1] * 297 == pytest.approx(centre.y_mm, abs=1.5)


def test_without_a_place_it_stands_at_the_lower_right_of_the_last_page() -> None:
    found = red_centre(placed(plain_pdf(), None), -1)
    assert found is not None
    assert found[0] > 0.5
    assert found[1] > 0.5


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_on_a_turned_page_it_stands_where_it_is_seen(turn: int) -> None:
    pdf = placed(rotated(plain_pdf(), turn), StampPlace(1, 60, 50))
    found = red_centre(pdf, 1)
    width, height = (297, 210) if turn % 180 else (210, 297)
    assert found is not None
    assert found[0] * width == pytest.approx(60, abs=1.5)
    assert found[1] * height == pytest.approx(50, abs=1.5)


def test_an_invisible_seal_shows_nothing_and_is_as_good() -> None:
    pdf = seal(visible=False)
    assert red_centre(pdf, 1) is None
    assert judged(pdf).verdict is Verdict.VALID


def test_a_large_signature_is_given_more_room() -> None:
    """RSA-4096 and long certificates do not fit into what is reserved first."""
    credential = unit(Algorithm.RSA_SHA256).seal

    class Grown:
        algorithm = credential.signer.algorithm
        public_key = credential.signer.public_key

        def sign(self, message: bytes) -> bytes:
            return credential.signer.sign(message) + bytes(3000)

    pdf = seal_pdf(plain_pdf(), signer=Grown(), certificates=credential.chain, at=NOW)
    a, b, c = byte_range(pdf)
    contents = bytes.fromhex(pdf[a + 1 : b - 1].decode())
    assert len(read_gap(pdf, read_byte_range(pdf, (0, a, b, c)), contents)) > 3000


REFUSALS: list[tuple[str, Callable[[], object], type[Fault]]] = [
    ("empty", lambda: placed(b"", None), DocumentMalformed),
    ("not a PDF", lambda: placed(b"PK\x03\x04" * 100, None), DocumentMalformed),
    ("cut in half", lambda: placed(plain_pdf()[:9000], None), DocumentMalformed),
    ("encrypted", lambda: placed(attacks.encrypted(plain_pdf()), None), DocumentEncrypted),
    ("certified", lambda: placed(sealed_pdf(), None), DocumentFrozen),
    ("a program", lambda: placed(attacks.with_program(plain_pdf()), None), SealRefused),
    ("an XFA form", lambda: placed(attacks.with_xfa_form(plain_pdf()), None), SealRefused),
    ("page 3 of 2", lambda: placed(plain_pdf(), StampPlace(2, 100, 100)), PageMissing),
    ("page -3 of 2", lambda: placed(plain_pdf(), StampPlace(-3, 100, 100)), PageMissing),
    ("off to the left", lambda: placed(plain_pdf(), StampPlace(0, 20, 100)), StampOffPage),
    ("off below", lambda: placed(plain_pdf(), StampPlace(0, 100, 280)), StampOffPage),
    ("nowhere", lambda: placed(plain_pdf(), StampPlace(0, float("nan"), 100)), StampOffPage),
    ("a rare name", lambda: placed(plain_pdf(), None, Stamp("龘龘局")), GlyphMissing),
]


@pytest.mark.parametrize(("act", "error"), [one[1:] for one in REFUSALS], ids=[one[0] for one in REFUSALS])
def test_what_is_not_sealed(act: Callable[[], object], error: type[Fault]) -> None:
    with pytest.raises(error):
        act()


@pytest.mark.parametrize("certificates", [0, 1, 9])
def test_a_key_and_certificates_that_do_not_go_together_are_refused(certificates: int) -> None:
    chain: tuple[x509.Certificate, ...] = (world().unit().seal.certificate,) * certificates
    with pytest.raises(SignerUnfit):
        seal_pdf(plain_pdf(), signer=unit().seal.signer, certificates=chain, at=NOW)


def test_ed25519_is_not_for_seals() -> None:
    signer = SoftwareSigner.generate(Algorithm.ED25519)
    with pytest.raises(SignerUnfit):
        seal_pdf(plain_pdf(), signer=signer, certificates=unit().seal.chain, at=NOW)


# --- what other programs say


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_poppler_finds_the_signature_valid(tmp_path: Path, algorithm: Algorithm) -> None:
    file = tmp_path / "sealed.pdf"
    file.write_bytes(seal(credential=unit(algorithm).seal))
    said = subprocess.run(
        [need("pdfsig"), "-nocert", str(file)], capture_output=True, text=True, check=False
    ).stdout
    assert "Signature Validation: Signature is Valid." in said
    assert "Total document signed" in said
    assert "ETSI.CAdES.detached" in said


def test_qpdf_finds_no_error(tmp_path: Path) -> None:
    file = tmp_path / "sealed.pdf"
    file.write_bytes(sealed_pdf())
    done = subprocess.run([need("qpdf"), "--check", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "No syntax or stream encoding errors found" in done.stdout


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_openssl_verifies_the_cms_over_the_covered_bytes(tmp_path: Path, algorithm: Algorithm) -> None:
    pdf = seal(credential=unit(algorithm).seal)
    a, b, c = byte_range(pdf)
    contents = bytes.fromhex(pdf[a + 1 : b - 1].decode())
    (tmp_path / "seal.p7s").write_bytes(read_gap(pdf, read_byte_range(pdf, (0, a, b, c)), contents))
    (tmp_path / "content").write_bytes(pdf[:a] + pdf[b:])
    (tmp_path / "anchors.pem").write_bytes(world().root.certificate.public_bytes(Encoding.PEM))
    command = [
        need("openssl"), "cms", "-verify", "-binary", "-cades", "-purpose", "any", "-inform", "DER",
        "-in", "seal.p7s", "-content", "content", "-CAfile", "anchors.pem", "-out", "out",
        "-attime", str(int(NOW.timestamp())),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
