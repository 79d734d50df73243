"""Everything the demo signed, under FORMATS §1's own command; every certificate, with its lists."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.conftest import Demo
from tests.interop.demo_parts import all_signed_parts, anchors_file, certificates
from tests.tools import need


@pytest.fixture(scope="module")
def parts(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    return all_signed_parts(demo, tmp_path_factory.mktemp("parts"))


def cms_verify(
    openssl: str, signature: Path, content: Path, anchors: Path
) -> subprocess.CompletedProcess[bytes]:
    command = [openssl, "cms", "-verify", "-binary", "-cades", "-purpose", "any", "-inform", "DER"]
    return subprocess.run(
        [*command, "-in", signature, "-content", content, "-CAfile", anchors],
        capture_output=True,
        check=False,
    )


def test_openssl_verifies_every_signature(demo: Demo, parts: list[tuple[Path, Path]], tmp_path: Path) -> None:
    openssl, anchors = need("openssl"), anchors_file(demo, tmp_path)
    names = {content.name for content, _ in parts}
    assert names == {"evidence.json", "dispatch.json", "ASiCManifest001.xml"}
    assert len(parts) >= len(demo.files("receipts")) + 2 * len(demo.files("dispatches"))
    for content, signature in parts:
        done = cms_verify(openssl, signature, content, anchors)
        assert done.returncode == 0, (signature, done.stderr.decode())
        assert done.stdout == content.read_bytes()
        assert b"successful" in done.stderr


def test_openssl_refuses_what_was_changed(demo: Demo, parts: list[tuple[Path, Path]], tmp_path: Path) -> None:
    openssl, anchors = need("openssl"), anchors_file(demo, tmp_path)
    changed = tmp_path / "changed"
    for content, signature in {one[0].name: one for one in parts}.values():
        data = bytearray(content.read_bytes())
        data[len(data) // 2] ^= 1
        changed.write_bytes(data)
        assert cms_verify(openssl, signature, changed, anchors).returncode != 0


def test_openssl_verifies_every_certificate_with_its_lists(
    demo: Demo, parts: list[tuple[Path, Path]], tmp_path: Path
) -> None:
    openssl, anchors = need("openssl"), anchors_file(demo, tmp_path)
    lists = tmp_path / "lists.pem"
    loaded = [x509.load_der_x509_crl(one.read_bytes()) for one in demo.files("trust/crls")]
    lists.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in loaded))
    between = tmp_path / "intermediates.pem"
    between.write_bytes(b"".join(one.read_bytes() for one in demo.files("trust/intermediates")))
    found = certificates(demo, [signature for _, signature in parts])
    # Hub's evidence and server, three units' seal and TLS, four issuing authorities.
    assert len(found) == 12
    for place, certificate in enumerate(found.values()):
        file = tmp_path / f"{place}.pem"
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
        command = [openssl, "verify", "-crl_check_all", "-x509_strict", "-CAfile", anchors]
        command += ["-untrusted", between, "-CRLfile", lists, file]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, (certificate.subject, done.stdout, done.stderr)


def test_every_authority_under_trust_has_a_current_list(demo: Demo) -> None:
    """FORMATS §8."""
    authorities = [
        x509.load_pem_x509_certificate(file.read_bytes())
        for part in ("trust/anchors", "trust/intermediates")
        for file in demo.files(part)
    ]
    issuers = {x509.load_der_x509_crl(one.read_bytes()).issuer for one in demo.files("trust/crls")}
    assert {one.subject for one in authorities} == issuers
