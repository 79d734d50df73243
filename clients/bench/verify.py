"""Judging: detached signatures, receipts, PDFs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from clients.bench.measure import Figure, rate, rates, ratio
from clients.bench.world import BenchWorld, bench_world, sealed_paper
from pki.keys import Algorithm
from pki.path import PathCache
from pki.purpose import UNIT_SEAL
from signing.cms import CadesSigner, check_signer, decode_cades
from signing.pdf_check import judge_pdf

BODY = b'{"statement":"' + b"x" * 700 + b'"}'


def measure() -> list[Figure]:
    """Rates of one core; ``cms_bare_ratio`` is B3: our whole check against the bare curve operation."""
    with bench_world() as world:
        now = datetime.now(UTC)
        check = _check(world, now)
        pdf = sealed_paper(world.unit, 100 * 1024)
        figures = [
            Figure("cms_per_s", rate(check), "1/s"),
            Figure("cms_bare_ratio", ratio(rates([check, _bare_verify()])), "ratio"),
            Figure(
                "pades_b_100k_per_s",
                rate(lambda: judge_pdf(pdf, trust=world.trust, purpose=UNIT_SEAL, now=now), slices=5),
                "1/s",
            ),
        ]
    with bench_world(Algorithm.RSA_SHA256) as world:
        figures.append(Figure("cms_per_s_rsa3072", rate(_check(world, datetime.now(UTC))), "1/s"))
    return figures


def _check(world: BenchWorld, now: datetime) -> Callable[[], None]:
    """One detached signature, decoded and checked, with its certificate's path from the cache."""
    signature = CadesSigner(world.unit.signer, world.unit.certificates).sign(BODY, at=now)
    paths = PathCache(world.trust)

    def check() -> None:
        cades = decode_cades(signature)
        info = cades.signers[0]
        check_signer(info, hashlib.new(info.digest_algorithm, BODY).digest())
        paths.check(info.certificate, cades.certificates, UNIT_SEAL, now)

    return check


def _bare_verify() -> Callable[[], None]:
    """One ECDSA P-256 verification by the library alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(BODY, ec.ECDSA(hashes.SHA256()))
    public = key.public_key()
    return lambda: public.verify(signature, BODY, ec.ECDSA(hashes.SHA256()))
