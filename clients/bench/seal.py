"""Sealing: signatures on envelopes and evidence, and seals on PDFs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from clients.bench.measure import Figure, rate
from clients.bench.world import NAME, bench_world, enrol_unit, paper
from pki.keys import Algorithm
from pki.storage.authority import Authority
from signing.cms import CadesSigner
from signing.pdf_seal import seal_pdf
from signing.stamp import Stamp

BODY = b'{"statement":"' + b"x" * 700 + b'"}'


def measure() -> list[Figure]:
    """Rates of one core."""
    return [
        *_figures("p256", Algorithm.ECDSA_P256_SHA256),
        *_figures("rsa3072", Algorithm.RSA_SHA256),
    ]


def _figures(name: str, algorithm: Algorithm) -> Iterator[Figure]:
    with bench_world(algorithm) as world:
        now = datetime.now(UTC)
        unit = world.unit
        signer = CadesSigner(unit.signer, unit.certificates)
        first = signer.sign(BODY, at=now)
        yield Figure(f"cades_signatures_per_s_{name}", rate(lambda: signer.sign(BODY, at=now)), "1/s")
        cosigned = _cosign_rate(world.authority, first, algorithm)
        yield Figure(f"cades_cosignatures_per_s_{name}", cosigned, "1/s")
        pdf = paper(100 * 1024)

        def seal() -> None:
            seal_pdf(pdf, signer=unit.signer, certificates=unit.certificates, at=now, stamp=Stamp(NAME))

        yield Figure(f"pades_b_100k_per_s_{name}", rate(seal, slices=5), "1/s")


def _cosign_rate(authority: Authority, first: bytes, algorithm: Algorithm) -> float:
    other = enrol_unit(authority, 3, algorithm)
    signer = CadesSigner(other.signer, other.certificates)
    now = datetime.now(UTC)
    return rate(lambda: signer.cosign(first, BODY, at=now))
