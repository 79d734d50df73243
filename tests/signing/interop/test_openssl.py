"""OpenSSL's command accepts our signature files, and we judge its."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki.keys import Algorithm
from pki.path import PathCache, TrustStore
from pki.purpose import UNIT_SEAL
from signing.cms import decode_cades
from signing.detached import judge_detached
from signing.errors import CmsMalformed
from signing.report import SealReport, Verdict
from tests.signing.files import CONTENT, cades_signer, digest_of, flips, signed
from tests.tools import need
from tests.worlds.pki import NOW, Credential, PkiWorld

SUITES = [Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256]
PSS = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32")
GOOD = (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


@pytest.fixture(scope="module")
def seals(world: PkiWorld) -> dict[Algorithm, Credential]:
    """A unit's seal of each suite: RSA keys take too long to make one for every test."""
    return {algorithm: world.unit(algorithm=algorithm).seal for algorithm in SUITES}


@pytest.fixture(scope="module")
def hubs(world: PkiWorld) -> dict[Algorithm, Credential]:
    return {algorithm: world.hub(algorithm=algorithm).seal for algorithm in SUITES}


@pytest.fixture(scope="module")
def trust(world: PkiWorld) -> TrustStore:
    return world.trust()


@dataclass(frozen=True)
class OpenSsl:
    """The command, in a folder of its own with the content and the anchor."""

    program: str
    folder: Path

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *command.split(), *options],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def verify(self, signature: bytes, content: bytes = CONTENT) -> subprocess.CompletedProcess[str]:
        """Exactly the check of FORMATS §1, at the instant the tests live in."""
        (self.folder / "signature.p7s").write_bytes(signature)
        (self.folder / "evidence.json").write_bytes(content)
        return self.run(
            "cms -verify -binary -cades -purpose any -inform DER -in signature.p7s "
            "-content evidence.json -CAfile anchors.pem",
            *("-out", "verified", "-attime", str(int(NOW.timestamp()))),
        )

    def sign(self, credential: Credential, *options: str) -> bytes:
        """A signature file by OpenSSL over the content."""
        key = credential.signer.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "key.pem").write_bytes(key)
        self.write("signer.pem", credential.certificate)
        self.write("others.pem", *credential.others)
        (self.folder / "content").write_bytes(CONTENT)
        done = self.run(
            "cms -sign -binary -in content -signer signer.pem -inkey key.pem -certfile others.pem "
            "-outform DER -out made.p7s",
            *options,
        )
        assert done.returncode == 0, done.stderr
        return (self.folder / "made.p7s").read_bytes()

    def write(self, name: str, *certificates: x509.Certificate) -> None:
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
        (self.folder / name).write_bytes(pem)


@pytest.fixture
def openssl(tmp_path: Path, world: PkiWorld) -> OpenSsl:
    command = OpenSsl(need("openssl"), tmp_path)
    command.write("anchors.pem", world.root.certificate)
    return command


# --- ours, judged by OpenSSL


@pytest.mark.parametrize("algorithm", SUITES, ids=lambda algorithm: algorithm.value)
def test_openssl_accepts_one_signer(
    openssl: OpenSsl, seals: dict[Algorithm, Credential], algorithm: Algorithm
) -> None:
    file = signed(seals[algorithm])
    done = openssl.verify(file)
    assert done.returncode == 0, done.stderr
    assert (openssl.folder / "verified").read_bytes() == CONTENT
    assert openssl.verify(file, CONTENT + b" ").returncode != 0


@pytest.mark.parametrize("first", SUITES, ids=lambda algorithm: algorithm.value)
@pytest.mark.parametrize("second", SUITES[::2], ids=lambda algorithm: algorithm.value)
def test_openssl_accepts_two_signers(
    openssl: OpenSsl,
    seals: dict[Algorithm, Credential],
    hubs: dict[Algorithm, Credential],
    first: Algorithm,
    second: Algorithm,
) -> None:
    both = cades_signer(hubs[second]).cosign(signed(seals[first]), CONTENT, at=NOW)
    done = openssl.verify(both)
    assert done.returncode == 0, done.stderr
    assert openssl.verify(both, CONTENT + b" ").returncode != 0


def test_openssl_accepts_four_signers(openssl: OpenSsl, world: PkiWorld) -> None:
    file = signed(world.unit().seal)
    for _ in range(3):
        file = cades_signer(world.unit().seal).cosign(file, CONTENT, at=NOW)
    done = openssl.verify(file)
    assert done.returncode == 0, done.stderr


def test_openssl_prints_it_as_the_profile_says(openssl: OpenSsl, world: PkiWorld) -> None:
    (openssl.folder / "signature.p7s").write_bytes(signed(world.unit().seal))
    printed = openssl.run("cms -cmsout -print -noout -inform DER -in signature.p7s").stdout
    plain = " ".join(printed.split())
    for line in ("version: 1", "eContent: <ABSENT>", "crls: <ABSENT>", "unsignedAttrs: <ABSENT>"):
        assert line in plain
    for name in ("contentType", "signingTime", "messageDigest", "id-smime-aa-signingCertificateV2"):
        assert plain.count(f"object: {name} ") == 1


# --- OpenSSL's, judged by us


def judged(
    file: bytes, trust: TrustStore, content: bytes = CONTENT, paths: PathCache | None = None
) -> SealReport:
    # OpenSSL writes the signing time of this very moment: the instant to judge at is given,
    # and the claim may lie far ahead of it or behind.
    (report,) = judge_detached(
        file, digest_of(content), trust=trust, purpose=UNIT_SEAL, now=NOW, at=NOW, paths=paths
    )
    return report


@pytest.mark.parametrize("algorithm", SUITES, ids=lambda algorithm: algorithm.value)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("-cades",), id="cades"),
        pytest.param(("-cades", "-keyid"), id="key-identifier"),
        pytest.param(("-cades", "-md", "sha512"), id="sha-512"),
        pytest.param(("-cades", "-nosmimecap"), id="few-attributes"),
        pytest.param(("-cades", "-nodetach"), id="content-inside"),
        pytest.param(("-cades", "-nodetach", "-stream"), id="ber"),
    ],
)
def test_openssls_files_are_judged_good_and_another_content_is_not(
    openssl: OpenSsl,
    seals: dict[Algorithm, Credential],
    trust: TrustStore,
    algorithm: Algorithm,
    options: tuple[str, ...],
) -> None:
    file = openssl.sign(seals[algorithm], *options)
    report = judged(file, trust)
    assert report.verdict in GOOD, report
    assert report.format == "CAdES-B-B"
    assert judged(file, trust, b"other").verdict is Verdict.NOT_VALID
    if "-nodetach" in options:
        (alone,) = judge_detached(file, None, trust=trust, purpose=UNIT_SEAL, now=NOW, at=NOW)
        assert alone.verdict in GOOD


def test_openssls_pss_is_judged_good(
    openssl: OpenSsl, seals: dict[Algorithm, Credential], trust: TrustStore
) -> None:
    credential = seals[Algorithm.RSA_SHA256]
    file = openssl.sign(credential, "-cades", *PSS)
    assert judged(file, trust).verdict in GOOD
    assert judged(file, trust, b"other").verdict is Verdict.NOT_VALID


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="no-binding"),
        pytest.param(("-cades", "-md", "sha1"), id="sha-1"),
        pytest.param(("-noattr",), id="no-attributes"),
        pytest.param(("-cades", "-nocerts"), id="no-certificates"),
    ],
)
def test_openssls_files_that_prove_too_little_are_never_good(
    openssl: OpenSsl, world: PkiWorld, trust: TrustStore, options: tuple[str, ...]
) -> None:
    assert judged(openssl.sign(world.unit().seal, *options), trust).verdict not in GOOD


@pytest.mark.parametrize("options", [("-cades",), ("-cades", "-nodetach", "-stream")], ids=["der", "ber"])
def test_no_changed_byte_of_openssls_files_leaves_the_verdict_good(
    openssl: OpenSsl, world: PkiWorld, trust: TrustStore, options: tuple[str, ...]
) -> None:
    file = openssl.sign(world.unit().seal, *options)
    paths = PathCache(trust)
    assert judged(file, trust, paths=paths).verdict in GOOD
    for position, changed in flips(file, 0x01):
        assert judged(changed, trust, paths=paths).verdict not in GOOD, position


def test_no_changed_parameter_of_pss_leaves_the_verdict_good(
    openssl: OpenSsl, seals: dict[Algorithm, Credential], trust: TrustStore
) -> None:
    credential = seals[Algorithm.RSA_SHA256]
    file = openssl.sign(credential, "-cades", *PSS)
    paths = PathCache(trust)
    start = len(file) - 384 - 100  # the parameters stand right before the signature value
    for position, changed in flips(file, 0x01, 0x80):
        if position >= start:
            assert judged(changed, trust, paths=paths).verdict not in GOOD, position


def test_openssls_files_are_not_of_our_profile(openssl: OpenSsl, world: PkiWorld) -> None:
    with pytest.raises(CmsMalformed):
        decode_cades(openssl.sign(world.unit().seal, "-cades"))
