"""Receipts and packages of a real hub's day, made once for all tests that take them apart."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from exchange.ledger.note import NoteSigner
from exchange.protocol.events import Event
from exchange.protocol.evidence import decode_evidence
from exchange.protocol.package import Part, package_parts, package_sources
from exchange.protocol.receipt import decode_receipt
from pki.trust import TrustStore
from signing.cms import CadesSigner
from signing.container import stream_container
from tests.worlds.hub import World
from tests.worlds.pki import Member, PkiWorld


@dataclass(frozen=True)
class Papers:
    """What is left of the day, and how it is judged."""

    receipts: dict[str, bytes]
    """By event: of the first dispatch, but for those that only others have."""
    others: dict[str, bytes]
    """The same events of another dispatch."""
    envelope: tuple[bytes, bytes]
    documents: dict[str, bytes]
    trust: TrustStore
    policy: bytes
    now: datetime
    pki: PkiWorld
    hub: Member
    units: tuple[Member, ...]
    ledger_key: NoteSigner

    def package(
        self,
        receipts: dict[str, bytes] | None = None,
        *,
        envelope: tuple[bytes, bytes] | None = None,
        documents: dict[str, bytes] | None = None,
        signer: Member | None = None,
        extra: tuple[Part, ...] = (),
    ) -> bytes:
        """The package of the first dispatch, or one with other parts under the hub's good signature."""
        documents = self.documents if documents is None else documents
        receipts = self.receipts if receipts is None else receipts
        parts = package_parts(
            *(envelope or self.envelope),
            [Part.of(f"documents/{name}", "text/plain", body) for name, body in documents.items()],
            [(decode_evidence(decode_receipt(one).evidence).evidence_id, one) for one in receipts.values()],
        )
        seal = (signer or self.hub).seal
        by = CadesSigner(seal.signer, seal.chain)
        sources = package_sources([*parts, *extra], lambda manifest: by.sign(manifest, at=self.now))
        return b"".join(stream_container(sources))


@cache
def the_papers() -> Papers:
    """A letter with an attachment, taken and signed for; a second one beside it."""
    with TemporaryDirectory() as folder:
        return asyncio.run(_a_day(Path(folder) / "hub"))


async def _a_day(folder: Path) -> Papers:
    async with World(folder) as world:
        days = []
        for text in (b"first", b"second"):
            letter = await world.letter(attachments={"附件1.txt": text})
            (one,) = await world.consign(letter)
            await world.act(world.second, one, Event.CONTENT_HANDOVER)
            await world.act(world.second, one, Event.CONSIGNMENT_ACCEPTANCE)
            records = await world.records.evidence_of(world.first.unit, letter.dispatch.dispatch_id)
            receipts = {}
            for record in records:
                receipt = await world.records.receipt(record.evidence_id)
                assert receipt is not None
                receipts[decode_evidence(record.body).event.wire] = receipt
            days.append((letter, receipts))
        await world.check_everything()
        letter, receipts = days[0]
        documents = {
            document.name: world.contents.path(document.digest).read_bytes()
            for document in letter.dispatch.documents
        }
        return Papers(
            receipts=receipts,
            others=days[1][1],
            envelope=(letter.envelope, letter.signature),
            documents=documents,
            trust=world.pki.trust(world.clock.now),
            policy=world.policy,
            now=world.clock.now,
            pki=world.pki,
            hub=world.hub,
            units=world.units,
            ledger_key=world._key,
        )


def opened(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)
