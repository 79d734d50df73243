"""OpenSSL's word on what we issue: certificates, lists and policies, strictly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.keys import Algorithm
from pki.profile import HUB_EVIDENCE_POLICY, TIME_STAMP_POLICY, TLS_POLICY, UNIT_SEAL_POLICY
from pki.revocation import RevocationList
from tests.tools import need
from tests.worlds.pki import NOW, Credential, PkiWorld


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def pem_list(one: RevocationList) -> bytes:
    return x509.load_der_x509_crl(one.der).public_bytes(Encoding.PEM)


class Judge:
    """``openssl verify`` over a world written to a folder."""

    def __init__(self, world: PkiWorld, folder: Path) -> None:
        self._folder = folder
        (folder / "root.pem").write_bytes(pem(world.root.certificate))
        (folder / "issuing.pem").write_bytes(b"".join(pem(one.certificate) for one in world.certifiers[1:]))
        self.write_lists(world.crls())

    def write_lists(self, lists: tuple[RevocationList, ...]) -> None:
        (self._folder / "lists.pem").write_bytes(b"".join(map(pem_list, lists)))

    def verify(self, certificate: x509.Certificate, *more: str) -> subprocess.CompletedProcess[str]:
        (self._folder / "leaf.pem").write_bytes(pem(certificate))
        return subprocess.run(
            [
                *(need("openssl"), "verify", "-x509_strict", "-crl_check_all"),
                *("-attime", str(int(NOW.timestamp()))),
                *("-CAfile", "root.pem", "-untrusted", "issuing.pem", "-CRLfile", "lists.pem"),
                *more,
                "leaf.pem",
            ],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )


def everybody(world: PkiWorld) -> dict[str, tuple[Credential, str, str]]:
    """Credentials with their policy and OpenSSL's purpose for them."""
    unit, hub = world.unit("甲市人民政府办公厅"), world.hub()
    return {
        "unit seal": (unit.seal, UNIT_SEAL_POLICY.dotted_string, "any"),
        "unit client": (unit.tls, TLS_POLICY.dotted_string, "sslclient"),
        "hub evidence": (hub.seal, HUB_EVIDENCE_POLICY.dotted_string, "any"),
        "hub server": (hub.tls, TLS_POLICY.dotted_string, "sslserver"),
        "time": (world.time_stamper(), TIME_STAMP_POLICY.dotted_string, "timestampsign"),
    }


@pytest.mark.parametrize(
    "algorithm",
    [Algorithm.ECDSA_P256_SHA256, Algorithm.ECDSA_P384_SHA384, Algorithm.RSA_SHA256],
    ids=lambda algorithm: algorithm.value,
)
def test_everything_issued_passes_strictly_with_lists_and_policies(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    world = PkiWorld(algorithm=algorithm)
    judge = Judge(world, tmp_path)
    for name, (credential, policy, purpose) in everybody(world).items():
        judged = judge.verify(
            credential.certificate, "-purpose", purpose, "-policy", policy, "-explicit_policy"
        )
        assert judged.returncode == 0, f"{name}: {judged.stderr}"


def test_policy_of_the_hub_is_not_the_units(tmp_path: Path) -> None:
    world = PkiWorld()
    judge = Judge(world, tmp_path)
    unit = world.unit()
    judged = judge.verify(
        unit.seal.certificate, "-policy", HUB_EVIDENCE_POLICY.dotted_string, "-explicit_policy"
    )
    assert "no explicit policy" in judged.stderr


def test_revoked_certificate_and_missing_list_are_seen(tmp_path: Path) -> None:
    world = PkiWorld()
    judge = Judge(world, tmp_path)
    unit = world.unit()
    world.revoke(unit.seal.certificate)
    judge.write_lists(world.crls())
    assert "certificate revoked" in judge.verify(unit.seal.certificate).stderr
    assert judge.verify(unit.tls.certificate).returncode == 0
    judge.write_lists(world.crls()[:1])
    assert "unable to get certificate CRL" in judge.verify(unit.tls.certificate).stderr


def test_name_constraints_stand_on_the_issuing_authority(tmp_path: Path) -> None:
    """T18: on the root most readers would ignore them."""
    world = PkiWorld(permitted_domains=["example.gov"])
    judge = Judge(world, tmp_path)
    inside, outside = world.hub(server_names=["hub.example.gov"]), world.hub(server_names=["hub.example.org"])
    assert judge.verify(inside.tls.certificate, "-purpose", "sslserver").returncode == 0
    assert "permitted subtree violation" in judge.verify(outside.tls.certificate).stderr
    assert judge.verify(world.unit().tls.certificate, "-purpose", "sslclient").returncode == 0


def test_root_bears_no_constraints_and_every_other_a_distribution_point() -> None:
    world = PkiWorld(permitted_domains=["example.gov"])
    extensions = world.root.certificate.extensions
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_class(x509.NameConstraints)
    certificates = [one.certificate for one in world.certifiers[1:]]
    certificates += [credential.certificate for credential, _, _ in everybody(world).values()]
    for certificate in certificates:
        certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
