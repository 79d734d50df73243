"""The ledger's files and the receipts, read from rows.

Tiles are not stored: level 0 is the leaf hashes of the entries, higher levels
stand in ``ledger_node``, so every partial tile of every signed size can be served.
A receipt is made from stored bytes and the *first* checkpoint that covers its
entry, so it is the same whenever it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.ledger.merkle import inclusion_proof
from exchange.ledger.tiles import Bundle, Tile, encode_bundle, encode_tile
from exchange.ledger.tree import TileNodes, tiles_needed_for_inclusion
from exchange.protocol.errors import NotFound, Unavailable
from exchange.protocol.receipt import assemble_receipt
from exchange.storage import tables as t
from exchange.storage.database import Database

WIDTH = 256
SIGNING_TRIES = 40
SIGNING_PAUSE = 0.025


class Unsigned(Exception):
    """Committed, and its checkpoint is not signed yet."""


class LedgerFiles:
    """Reading one ledger. Notes that were signed and are not yet in their rows stand in ``fresh_notes``."""

    def __init__(self, database: Database, ledger: str) -> None:
        self.ledger = ledger
        self.fresh_notes: dict[int, bytes] = {}
        """By size; the committer puts them here the moment they are signed."""
        self._database = database

    async def checkpoint(self) -> bytes | None:
        """The newest signed checkpoint; None while nothing was ever signed."""
        if self.fresh_notes:
            return self.fresh_notes[max(self.fresh_notes)]
        async with self._database.read() as connection:
            note: bytes | None = await connection.scalar(
                select(t.ledger_checkpoint.c.note)
                .where(t.ledger_checkpoint.c.ledger == self.ledger, t.ledger_checkpoint.c.note.is_not(None))
                .order_by(t.ledger_checkpoint.c.size.desc())
                .limit(1)
            )
        return note

    async def tile(self, tile: Tile) -> bytes | None:
        """The hashes of a tile; None when the ledger does not have them all."""
        async with self._database.read() as connection:
            hashes = await read_tile(connection, self.ledger, tile)
        return encode_tile(hashes) if len(hashes) == tile.width else None

    async def bundle(self, bundle: Bundle) -> bytes | None:
        """The entries of a bundle; None when the ledger does not have them all."""
        async with self._database.read() as connection:
            entries = await connection.scalars(
                select(t.ledger_entry.c.body)
                .where(
                    t.ledger_entry.c.ledger == self.ledger,
                    t.ledger_entry.c.idx >= bundle.first,
                    t.ledger_entry.c.idx < bundle.first + bundle.width,
                )
                .order_by(t.ledger_entry.c.idx)
            )
            bodies = list(entries)
        return encode_bundle(bodies) if len(bodies) == bundle.width else None

    async def receipt(self, evidence_id: str) -> bytes:
        """The receipt of an evidence that is known to exist.

        Raises:
            Unavailable: its checkpoint is not signed yet.
        """
        receipt = await self.find_receipt(evidence_id)
        if receipt is None:
            raise NotFound(what="receipt")
        return receipt

    async def find_receipt(self, evidence_id: str) -> bytes | None:
        """The receipt, or None when there is no such evidence.

        Between a commit and its signature lies a moment in which the evidence is there and its
        receipt is not; it is waited for.

        Raises:
            Unavailable: the checkpoint is not signed within a second; the signer is in trouble.
        """
        for _ in range(SIGNING_TRIES):
            try:
                return await self._find_receipt(evidence_id)
            except Unsigned:
                await asyncio.sleep(SIGNING_PAUSE)
        raise Unavailable(detail="the ledger's checkpoint is being signed")

    async def _find_receipt(self, evidence_id: str) -> bytes | None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(t.evidence).where(t.evidence.c.evidence_id == evidence_id))
            ).one_or_none()
            if row is None:
                return None
            index = row.entry_index
            entry = (
                await connection.execute(
                    select(t.ledger_entry.c.body).where(
                        t.ledger_entry.c.ledger == self.ledger, t.ledger_entry.c.idx == index
                    )
                )
            ).scalar_one()
            point = (
                await connection.execute(
                    select(t.ledger_checkpoint)
                    .where(t.ledger_checkpoint.c.ledger == self.ledger, t.ledger_checkpoint.c.size > index)
                    .order_by(t.ledger_checkpoint.c.size)
                    .limit(1)
                )
            ).one()
            note = self.fresh_notes.get(point.size, point.note)
            if note is None:
                raise Unsigned
            nodes = TileNodes(
                {
                    tile: encode_tile(await read_tile(connection, self.ledger, tile))
                    for tile in tiles_needed_for_inclusion(index, point.size)
                }
            )
            revocation = await read_revocation(
                connection, row.revocation.split(",") if row.revocation else []
            )
        return assemble_receipt(
            evidence=row.body,
            signature=row.signature,
            entry=entry,
            salt=row.salt,
            index=index,
            hashes=inclusion_proof(index, point.size, nodes),
            checkpoint=note,
            revocation=revocation,
        )


async def read_tile(connection: AsyncConnection, ledger: str, tile: Tile) -> list[bytes]:
    """The hashes of a tile, as many as there are."""
    first = tile.index * WIDTH
    if tile.level == 0:
        statement = select(t.ledger_entry.c.leaf).where(
            t.ledger_entry.c.ledger == ledger,
            t.ledger_entry.c.idx >= first,
            t.ledger_entry.c.idx < first + tile.width,
        )
        return list(await connection.scalars(statement.order_by(t.ledger_entry.c.idx)))
    statement = select(t.ledger_node.c.hash).where(
        t.ledger_node.c.ledger == ledger,
        t.ledger_node.c.level == tile.level,
        t.ledger_node.c.n >= first,
        t.ledger_node.c.n < first + tile.width,
    )
    return list(await connection.scalars(statement.order_by(t.ledger_node.c.n)))


async def read_revocation(connection: AsyncConnection, digests: Iterable[str]) -> list[bytes]:
    """The revocation data of those digests."""
    rows = await connection.scalars(
        select(t.revocation_data.c.body).where(t.revocation_data.c.digest.in_(list(digests)))
    )
    return list(rows)
