"""The certification authority: issuing, paths, revocation lists."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509

from clients.bench.measure import Figure, rate
from clients.bench.world import bench_world, code
from pki.issue import issue, new_serial, prepare
from pki.keys import Algorithm, SoftwareSigner
from pki.names import unit_subject
from pki.path import PathCache, check_path
from pki.profile import ROOT
from pki.profile import UNIT_SEAL as PROFILE
from pki.purpose import UNIT_SEAL


def measure() -> list[Figure]:
    """Rates of one core."""
    with bench_world() as world:
        now = datetime.now(UTC)
        certificate, *others = world.unit.certificates
        paths = PathCache(world.trust)
        paths.check(certificate, others, UNIT_SEAL, now)
        issuer_key, subject = SoftwareSigner.generate(Algorithm.ECDSA_P256_SHA256), certificate.subject
        root = _self_signed(issuer_key, now)

        def certify() -> None:
            intent = prepare(
                PROFILE,
                subject=subject,
                public_key=world.unit.signer.public_key,
                issuer=root,
                serial=new_serial(),
                not_before=now,
                revocation_list_url="https://127.0.0.1/v1/crls/seals.crl",
            )
            issue(intent, issuer_key)

        return [
            Figure("certificates_per_s", rate(certify), "1/s"),
            Figure(
                "paths_per_s",
                rate(
                    lambda: check_path(
                        certificate, others=others, trust=world.trust, purpose=UNIT_SEAL, at=now
                    )
                ),
                "1/s",
            ),
            Figure(
                "cached_paths_per_s", rate(lambda: paths.check(certificate, others, UNIT_SEAL, now)), "1/s"
            ),
        ]


def _self_signed(signer: SoftwareSigner, now: datetime) -> x509.Certificate:
    """An authority that certifies itself: linting and signing cost the same under it."""
    subject = unit_subject(code(1), "bench", "seals CA")
    intent = prepare(
        ROOT,
        subject=subject,
        public_key=signer.public_key,
        issuer=None,
        serial=new_serial(),
        not_before=now,
    )
    return issue(intent, signer)
