"""Some letters with real PDFs, judged by the real sandbox: what the told judge stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest

from clients.official_paper import OfficialDocument, draw_official_document
from exchange.judging import SandboxJudge
from exchange.protocol.errors import RevocationStale
from exchange.protocol.events import Event
from exchange.protocol.package import Part, judge_package, package_parts, package_sources
from pki.path import UNIT_SEAL
from signing.container import stream_container
from signing.pdf_check import judge_pdf
from signing.pdf_seal import seal_pdf
from signing.report import FileReport, Verdict
from signing.sandbox.pool import JudgePool, Limits
from tests.signing.pdfs import CREATED, DOCUMENT
from tests.worlds.hub import SubmissionRefused, World
from tests.worlds.pki import Member


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    limits = Limits(seconds=30, processor_seconds=30)
    async with (
        JudgePool(workers=1, limits=limits) as pool,
        World(tmp_path / "hub", judge=SandboxJudge(pool)) as world,
    ):
        yield world


def a_pdf(**changes: object) -> bytes:
    values = {name: getattr(DOCUMENT, name) for name in DOCUMENT.__dataclass_fields__}
    return draw_official_document(OfficialDocument(**(values | changes)), created=CREATED)


def sealed(world: World, member: Member, pdf: bytes | None = None, *, further_seals: bool = False) -> bytes:
    return seal_pdf(
        pdf if pdf is not None else a_pdf(),
        signer=member.seal.signer,
        certificates=member.seal.chain,
        at=world.clock.now,
        further_seals=further_seals,
    )


async def refusal(world: World, contents: bytes, **options: object) -> str:
    letter = await world.letter(contents=contents, **options)  # type: ignore[arg-type]
    with pytest.raises(SubmissionRefused) as refused:
        await world.submit(letter)
    return refused.value.code


async def test_letters_with_real_documents(world: World) -> None:
    """One test, because starting the sandbox takes longer than all of it."""
    good = sealed(world, world.first)
    (one,) = await world.consign(await world.letter(contents=good, attachments={"附件.pdf": a_pdf()}))
    await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
    await world.check_everything()

    assert await refusal(world, a_pdf()) == "seal-missing"
    assert await refusal(world, sealed(world, world.second)) == "seal-foreign"
    assert await refusal(world, good + b"\n% something behind") in ("seal-invalid", "document-refused")
    place = good.index(b"/Contents") - 2000
    changed = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
    assert await refusal(world, changed) in ("seal-invalid", "document-refused", "seal-undecided")
    assert await refusal(world, b"%PDF-1.7 and no more") in (
        "document-refused",
        "seal-missing",
        "seal-undecided",
    )
    assert await refusal(world, good, attachments={"附件.pdf": sealed(world, world.second)[:-20]}) in (
        "seal-invalid", "document-refused", "seal-undecided",
    )  # fmt: skip
    secret = sealed(world, world.first, a_pdf(issuer="机密★1年"))
    assert await refusal(world, secret) in ("classified", "document-refused")
    # Two seals, the sender's among them, are well.
    both = seal_pdf(
        sealed(world, world.second, further_seals=True),
        signer=world.first.seal.signer,
        certificates=world.first.seal.chain,
        at=world.clock.now,
    )
    await world.consign(await world.letter(contents=both))
    await world.check_everything()

    # Lists that have run out decide nothing about the document either.
    world.clock.advance(days=20)
    letter = await world.letter(contents=sealed(world, world.first))
    world.trust.stale = True
    with pytest.raises(RevocationStale):
        await world.submit(letter)
    world.trust.stale = False
    await world.submit(letter)
    await world.check_everything()
    await _check_package(world, letter.dispatch.dispatch_id)


async def _check_package(world: World, dispatch_id: str) -> None:
    """The package of it is good with its document judged, and the same documents make no good one unsealed."""
    envelope = await world.records.envelope(world.first.unit, dispatch_id)
    kept = await world.records.dispatch(world.first.unit, dispatch_id)
    assert envelope is not None
    assert kept is not None
    records = await world.records.evidence_of(world.first.unit, dispatch_id)
    receipts = [(one.evidence_id, await world.files.receipt(one.evidence_id)) for one in records]
    documents = [
        Part.of(f"documents/{one.name}", one.media_type, world.contents.path(one.digest).read_bytes())
        for one in kept.dispatch.documents
    ]
    sources = package_sources(
        package_parts(*envelope, documents, receipts),
        lambda manifest: world.notary.signer.sign(manifest, at=world.clock.now),
    )
    data = b"".join(stream_container(sources))
    trust = world.pki.trust(world.clock.now)

    def judge(name: str, body: bytes) -> FileReport:
        return judge_pdf(body, trust=trust, purpose=UNIT_SEAL, now=world.clock.now, file=name)

    found = judge_package(
        BytesIO(data),
        name="a.asice",
        trust=trust,
        policy=world.policy,
        now=world.clock.now,
        judge_document=judge,
    )
    assert found.report.verdict is Verdict.VALID_WITH_REMARKS
    assert len(found.documents) == 1
