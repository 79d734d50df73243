"""What the benchmarks need to exist: a small authority in memory, units with keys, sealed papers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

from cryptography import x509
from pyhanko.pdf_utils.generic import StreamObject
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from clients.official_paper import OfficialDocument, draw_official_document
from pki.keys import Algorithm, SoftwareSigner
from pki.names import UnitId, check_character, parse_unit_id
from pki.request import make_request
from pki.storage.authority import Authority, AuthorityNames
from pki.trust import TrustStore
from signing.pdf_seal import seal_pdf
from signing.stamp import Stamp

NAME = "市政府办公室"


def code(number: int) -> UnitId:
    """The code of the unit of this number."""
    first = f"11310000MB{number:07d}"
    return parse_unit_id(first + check_character(first))


@dataclass(frozen=True, slots=True)
class BenchUnit:
    """A unit with its seal key and the path of its certificate."""

    unit: UnitId
    signer: SoftwareSigner
    certificates: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class BenchWorld:
    """An authority, one unit, and what a verifier trusts."""

    authority: Authority
    unit: BenchUnit
    trust: TrustStore


@contextmanager
def bench_world(algorithm: Algorithm = Algorithm.ECDSA_P256_SHA256) -> Iterator[BenchWorld]:
    """An authority in a temporary folder, and one enrolled unit."""
    now = datetime.now(UTC)
    with (
        tempfile.TemporaryDirectory(prefix="gongwen-bench-") as folder,
        Authority.create(
            Path(folder) / "pki",
            b"bench",
            AuthorityNames(code(1), "bench"),
            crl_base_url="https://127.0.0.1/v1/crls",
            now=now,
            n=1 << 12,
        ) as authority,
    ):
        yield BenchWorld(authority, enrol_unit(authority, 2, algorithm), authority.trust(now))


def enrol_unit(authority: Authority, number: int, algorithm: Algorithm) -> BenchUnit:
    """One more unit."""
    now = datetime.now(UTC)
    token = authority.register_unit(code(number), NAME, now=now)
    seal, tls = SoftwareSigner.generate(algorithm), SoftwareSigner.generate(algorithm)
    enrolled = authority.enrol(token, make_request(seal), make_request(tls), now=now)
    return BenchUnit(code(number), seal, (enrolled.seal, enrolled.seal_issuer))


def paper(size: int, *, number: int = 1) -> bytes:
    """An official document of about so many bytes, different for each number."""
    document = OfficialDocument(
        issuer="市政府办公室文件",
        number=f"临政办发〔2026〕{number}号",
        title="关于推进政务数据共享工作的通知",
        recipients=("市财政局",),
        body=("为进一步提高政务服务效能，经市人民政府同意，现就有关事项通知如下。",) * 3,
        signature="市政府办公室",
        issued_on=date(2026, 11, 21),
    )
    pdf = draw_official_document(document, created=datetime(2026, 11, 21, tzinfo=UTC))
    return pdf if len(pdf) >= size else _padded(pdf, size - len(pdf))


def _padded(pdf: bytes, more: int) -> bytes:
    """Fill up with a stream that no page uses, as an incremental update."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    writer.root["/GongwenBench"] = writer.add_object(
        StreamObject(stream_data=bytes(range(256)) * (more // 256 + 1))
    )
    writer.update_root()  # type: ignore[no-untyped-call]
    out = BytesIO()
    writer.write(out)  # type: ignore[no-untyped-call]
    return out.getvalue()


def sealed_paper(unit: BenchUnit, size: int, *, number: int = 1) -> bytes:
    """The same, with the unit's visible seal."""
    return seal_pdf(
        paper(size, number=number),
        signer=unit.signer,
        certificates=unit.certificates,
        at=datetime.now(UTC),
        stamp=Stamp(NAME),
    )
