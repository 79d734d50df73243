"""pyHanko accepts our signature files, and we judge its."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO

import pytest
from asn1crypto import cms, keys
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.sign.signers.pdf_cms import SimpleSigner
from pyhanko.sign.validation import async_validate_detached_cms
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from pki.keys import Algorithm
from pki.path import PathCache, TrustStore
from pki.purpose import UNIT_SEAL
from signing.cms import decode_cades
from signing.detached import judge_detached
from signing.errors import CmsMalformed
from signing.report import SealReport, Verdict
from tests.signing.files import CONTENT, digest_of, flips, signed
from tests.worlds.pki import NOW, Credential, PkiWorld

SUITES = [Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256]
GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


@pytest.fixture(scope="module")
def seals(world: PkiWorld) -> dict[Algorithm, Credential]:
    """A unit's seal of each suite: RSA keys take too long to make one for every test."""
    return {algorithm: world.unit(algorithm=algorithm).seal for algorithm in SUITES}


@pytest.fixture(scope="module")
def trust(world: PkiWorld) -> TrustStore:
    return world.trust()


def _context(world: PkiWorld) -> ValidationContext:
    return ValidationContext(
        trust_roots=[asn1_x509.Certificate.load(world.root.certificate.public_bytes(Encoding.DER))],
        crls=[one.der for one in world.crls()],
        allow_fetching=False,
        revocation_mode="require",
        moment=NOW,
        time_tolerance=timedelta(0),
    )


@pytest.mark.parametrize("algorithm", SUITES, ids=lambda algorithm: algorithm.value)
async def test_pyhanko_finds_our_file_intact_valid_and_trusted(
    world: PkiWorld, seals: dict[Algorithm, Credential], algorithm: Algorithm
) -> None:
    file = signed(seals[algorithm])
    data = cms.ContentInfo.load(file, strict=True)["content"]
    status = await async_validate_detached_cms(
        BytesIO(CONTENT), data, signer_validation_context=_context(world)
    )
    assert (status.intact, status.valid, status.trusted) == (True, True, True)
    assert status.signer_reported_dt == NOW
    other = await async_validate_detached_cms(
        BytesIO(b"other"), data, signer_validation_context=_context(world)
    )
    assert not other.intact


def _hanko(credential: Credential) -> SimpleSigner:
    def load(certificate: object) -> asn1_x509.Certificate:
        return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))  # type: ignore[attr-defined]

    store = SimpleCertificateStore()
    store.register_multiple([load(one) for one in credential.others])
    der = credential.signer.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SimpleSigner(
        signing_cert=load(credential.certificate),
        signing_key=keys.PrivateKeyInfo.load(der),
        cert_registry=store,
    )


async def _made(credential: Credential, digest: str = "sha256", **options: bool) -> bytes:
    made = await _hanko(credential).async_sign_general_data(CONTENT, digest, use_cades=True, **options)
    file: bytes = made.dump()
    return file


def judged(
    file: bytes, trust: TrustStore, content: bytes = CONTENT, paths: PathCache | None = None
) -> SealReport:
    (report,) = judge_detached(
        file, digest_of(content), trust=trust, purpose=UNIT_SEAL, now=NOW, at=NOW, paths=paths
    )
    return report


@pytest.mark.parametrize("algorithm", SUITES, ids=lambda algorithm: algorithm.value)
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "content-inside"])
async def test_pyhankos_files_are_judged_good_and_another_content_is_not(
    seals: dict[Algorithm, Credential], trust: TrustStore, algorithm: Algorithm, detached: bool
) -> None:
    file = await _made(seals[algorithm], algorithm.hash_name, detached=detached)
    with pytest.raises(CmsMalformed):
        decode_cades(file)
    assert judged(file, trust).verdict in GOOD, judged(file, trust)
    assert judged(file, trust, b"other").verdict is Verdict.NOT_VALID


async def test_no_changed_byte_of_pyhankos_files_leaves_the_verdict_good(
    world: PkiWorld, trust: TrustStore
) -> None:
    file = await _made(world.unit().seal)
    paths = PathCache(trust)
    assert judged(file, trust, paths=paths).verdict in GOOD
    for position, changed in flips(file, 0x02):
        assert judged(changed, trust, paths=paths).verdict not in GOOD, position
