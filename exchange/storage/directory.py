"""Who is who and who can receive, read whole and kept for a moment.

Every request asks whose certificate it is, and every submission which of its
recipients can receive. The rows are few and seldom change, so they are read together and
held until something was written to them, at most a second: another process may
have written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from exchange.protocol.identifiers import Digest
from exchange.storage import tables as t
from exchange.storage.database import Database
from exchange.storage.views import Credential
from pki.names import UnitId

HELD_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class DirectoryView:
    """The directory at one moment."""

    credentials: Mapping[Digest, Credential]
    able: frozenset[UnitId]
    """Known, active, with a seal certificate that is not revoked."""


class HeldDirectory:
    """The newest view; forget it when units or their certificates were written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._view: DirectoryView | None = None
        self._read_at = 0.0
        self._version = 0

    def forget(self) -> None:
        """Something was written: the next question reads anew."""
        self._version += 1
        self._view = None

    async def view(self) -> DirectoryView:
        """The directory as it stands, or stood a second ago."""
        if self._view is not None and time.monotonic() - self._read_at < HELD_SECONDS:
            return self._view
        version, read_at = self._version, time.monotonic()
        view = await self._read()
        # What was written while we read may be missing from it: such a view serves once.
        if version == self._version:
            self._view, self._read_at = view, read_at
        return view

    async def _read(self) -> DirectoryView:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(
                    t.credential.c.fingerprint,
                    t.credential.c.purpose,
                    t.credential.c.revoked_at,
                    t.unit.c.unit,
                    t.unit.c.name,
                    t.unit.c.active,
                ).select_from(t.credential.join(t.unit))
            )
            found = [
                Credential(
                    unit=UnitId(row.unit),
                    name=row.name,
                    purpose=row.purpose,
                    fingerprint=Digest(row.fingerprint),
                    usable=row.active and row.revoked_at is None,
                )
                for row in rows
            ]
        return DirectoryView(
            credentials={one.fingerprint: one for one in found},
            able=frozenset(one.unit for one in found if one.usable and one.purpose == "seal"),
        )
