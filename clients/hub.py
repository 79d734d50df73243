"""The unit's client: :class:`Hub` (blocking) and :class:`AsyncHub`, with the same methods.

    with Hub(UnitHome.open(path, secret)) as hub:
        sent = hub.send([Path("通知.pdf")], to=["11310000000000000X"], title="关于…的通知")
        for view in hub.inbox().items:
            hub.fetch(view.consignment_id, Path("in") / view.consignment_id)
            hub.sign_for(view.consignment_id)

What a call promises stands with its operation in ``operations``, ``fetch`` and
``upload``; here they are only run. A call that changes something returns after the
hub's receipt was verified under the unit's own trust folder and kept in its
``receipts/``; a receipt that does not hold is an error, never a success.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from clients import fetch, operations, trust, upload
from clients.fetch import Fetched, JudgeFile
from clients.files import digest_file
from clients.home import PendingDispatch, UnitHome
from clients.operations import LONGEST_WAIT, Acted, RecallOutcome, Sent
from clients.receipts import CheckedReceipt
from clients.session import Session
from clients.transport import AsyncDriver, Driver, tls_context
from clients.wire import Operation, Progress, work
from exchange.protocol.api import (
    ConsignmentView,
    DirectoryPage,
    DispatchView,
    EnvelopeView,
    InboxPage,
    OutboxPage,
    Whoami,
)
from exchange.protocol.dispatch import Metadata

DUE = timedelta(days=3)
"""签收期限, where the sender names none."""
EXPIRES = timedelta(days=30)


def _upload(session: Session, content: Path, progress: Progress | None) -> Operation[str]:
    digest = yield from work(lambda: digest_file(content))
    size = content.stat().st_size
    yield from upload.upload(session, content, digest=digest, size=size, progress=progress)
    return digest


def _send(
    session: Session,
    documents: Sequence[Path],
    to: Sequence[str],
    copy: Sequence[str],
    metadata: Metadata,
    due: datetime | timedelta,
    expires: datetime | timedelta,
    progress: Progress | None,
) -> Operation[Sent]:
    now = session.instant()
    pending = yield from operations.prepare(
        session,
        documents,
        to=to,
        copy=copy,
        metadata=metadata,
        due_at=now + due if isinstance(due, timedelta) else due,
        expires_at=now + expires if isinstance(expires, timedelta) else expires,
    )
    return (yield from operations.submit(session, pending, progress=progress))


def _metadata(
    metadata: Metadata | None, title: str | None, issued_number: str | None, urgency: str | None
) -> Metadata:
    if metadata is not None:
        return metadata
    return Metadata(title=title or "", issued_number=issued_number, urgency=urgency)


def _context(home: UnitHome) -> ssl.SSLContext:
    anchors = home.trust.store.anchors_for(None).certificates
    return tls_context(anchors, signer=home.tls, certificates=home.tls_certificates)


class Hub:
    """A unit at its hub, blocking. Use as a context manager; not from two threads at once."""

    def __init__(
        self,
        home: UnitHome,
        *,
        session: Session | None = None,
        transport: httpx2.BaseTransport | None = None,
        language: str | None = None,
    ) -> None:
        """Nothing is connected yet. ``session`` and ``transport`` are for tests."""
        self.home = home
        self.session = Session(home) if session is None else session
        context = _context(home) if transport is None else None
        self._driver = Driver(home.config.units_url, tls=context, transport=transport, language=language)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()

    def whoami(self) -> Whoami:
        """Who the hub takes us for."""
        return self._driver.run(operations.whoami(self.session))

    def directory(self, q: str | None = None) -> DirectoryPage:
        """Units that the hub knows, all or those whose code or name has ``q``."""
        return self._driver.run(operations.directory(self.session, q))

    def upload(self, content: Path, *, progress: Progress | None = None) -> str:
        """Bring a file's content to the hub, resuming what broke off; its digest."""
        return self._driver.run(_upload(self.session, content, progress))

    def send(
        self,
        documents: Sequence[Path],
        *,
        to: Sequence[str],
        copy: Sequence[str] = (),
        title: str | None = None,
        issued_number: str | None = None,
        urgency: str | None = None,
        metadata: Metadata | None = None,
        due: datetime | timedelta = DUE,
        expires: datetime | timedelta = EXPIRES,
        progress: Progress | None = None,
    ) -> Sent:
        """Seal an envelope, send it with its documents, and come back with the verified receipt.

        The first document is the main one. ``metadata`` stands for title, number and
        urgency and whatever else. As :func:`~clients.operations.prepare` and
        :func:`~clients.operations.submit` promise.
        """
        described = _metadata(metadata, title, issued_number, urgency)
        operation = _send(self.session, documents, to, copy, described, due, expires, progress)
        return self._driver.run(operation)

    def submit(self, pending: PendingDispatch, *, progress: Progress | None = None) -> Sent:
        """Send a kept envelope (again); the same bytes get the one receipt."""
        return self._driver.run(operations.submit(self.session, pending, progress=progress))

    def outbox(
        self, *, state: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> OutboxPage:
        """One page of our dispatches, newest first."""
        return self._driver.run(operations.outbox(self.session, state=state, limit=limit, cursor=cursor))

    def whole_outbox(self, *, state: str | None = None) -> tuple[DispatchView, ...]:
        """All our dispatches, newest first."""
        return self._driver.run(operations.whole_outbox(self.session, state=state))

    def dispatch(self, dispatch_id: str) -> DispatchView:
        """One of our dispatches, with where each consignment stands."""
        return self._driver.run(operations.dispatch(self.session, dispatch_id))

    def inbox(
        self, *, after: int = 0, wait: int = 0, state: str | None = None, limit: int | None = None
    ) -> InboxPage:
        """Consignments for us that changed after a cursor; waits up to ``wait`` seconds (30) for one."""
        return self._driver.run(
            operations.inbox(self.session, after=after, wait=wait, state=state, limit=limit)
        )

    def whole_inbox(self, *, state: str | None = None) -> tuple[ConsignmentView, ...]:
        """Every consignment for us, oldest change first."""
        return self._driver.run(operations.whole_inbox(self.session, state=state))

    def watch(self, *, after: int = 0) -> Iterator[ConsignmentView]:
        """Every change of a consignment for us, as it comes; never ends."""
        while True:
            page = self.inbox(after=after, wait=LONGEST_WAIT)
            yield from page.items
            after = max(after, page.cursor)

    def consignment(self, consignment_id: str) -> ConsignmentView:
        """One consignment that we sent or received."""
        return self._driver.run(operations.consignment(self.session, consignment_id))

    def envelope(self, consignment_id: str) -> EnvelopeView:
        """The sender's signed envelope, unchecked."""
        return self._driver.run(operations.envelope(self.session, consignment_id))

    def fetch(
        self,
        consignment_id: str,
        folder: Path,
        *,
        judge: JudgeFile | None = None,
        progress: Progress | None = None,
    ) -> Fetched:
        """Bring the content into a folder, checked, and state the hand-over."""
        return self._driver.run(
            fetch.fetch(self.session, consignment_id, folder, judge=judge, progress=progress)
        )

    def sign_for(self, consignment_id: str) -> Acted:
        """签收."""
        return self._driver.run(operations.sign_for(self.session, consignment_id))

    def return_(self, consignment_id: str, *, code: str, text: str) -> Acted:
        """退文, with a reason."""
        return self._driver.run(operations.return_(self.session, consignment_id, code=code, text=text))

    def recall(
        self, identifier: str, *, code: str | None = None, text: str = ""
    ) -> tuple[RecallOutcome, ...]:
        """撤回 a dispatch, or one consignment of it."""
        return self._driver.run(operations.recall(self.session, identifier, code=code, text=text))

    def receipt(self, evidence_id: str) -> CheckedReceipt:
        """The receipt of an evidence of ours, verified and kept."""
        return self._driver.run(operations.receipt(self.session, evidence_id))

    def package(self, identifier: str, path: Path) -> Path:
        """The dispatch package (ASiC-E) as a file; judge it with ``verify``."""
        return self._driver.run(fetch.package(self.session, identifier, path))

    def refresh_trust(self) -> tuple[trust.RefreshedList, ...]:
        """Fetch the hub's revocation lists into the unit's trust folder."""
        return self._driver.run(trust.refresh(self.session))


class AsyncHub:
    """A unit at its hub, on asyncio. The methods are :class:`Hub`'s."""

    def __init__(
        self,
        home: UnitHome,
        *,
        session: Session | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        language: str | None = None,
    ) -> None:
        """Nothing is connected yet. ``session`` and ``transport`` are for tests."""
        self.home = home
        self.session = Session(home) if session is None else session
        context = _context(home) if transport is None else None
        self._driver = AsyncDriver(home.config.units_url, tls=context, transport=transport, language=language)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.close()

    async def whoami(self) -> Whoami:
        """As :meth:`Hub.whoami`."""
        return await self._driver.run(operations.whoami(self.session))

    async def directory(self, q: str | None = None) -> DirectoryPage:
        """As :meth:`Hub.directory`."""
        return await self._driver.run(operations.directory(self.session, q))

    async def upload(self, content: Path, *, progress: Progress | None = None) -> str:
        """As :meth:`Hub.upload`."""
        return await self._driver.run(_upload(self.session, content, progress))

    async def send(
        self,
        documents: Sequence[Path],
        *,
        to: Sequence[str],
        copy: Sequence[str] = (),
        title: str | None = None,
        issued_number: str | None = None,
        urgency: str | None = None,
        metadata: Metadata | None = None,
        due: datetime | timedelta = DUE,
        expires: datetime | timedelta = EXPIRES,
        progress: Progress | None = None,
    ) -> Sent:
        """As :meth:`Hub.send`."""
        described = _metadata(metadata, title, issued_number, urgency)
        operation = _send(self.session, documents, to, copy, described, due, expires, progress)
        return await self._driver.run(operation)

    async def submit(self, pending: PendingDispatch, *, progress: Progress | None = None) -> Sent:
        """As :meth:`Hub.submit`."""
        return await self._driver.run(operations.submit(self.session, pending, progress=progress))

    async def outbox(
        self, *, state: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> OutboxPage:
        """As :meth:`Hub.outbox`."""
        return await self._driver.run(
            operations.outbox(self.session, state=state, limit=limit, cursor=cursor)
        )

    async def whole_outbox(self, *, state: str | None = None) -> tuple[DispatchView, ...]:
        """As :meth:`Hub.whole_outbox`."""
        return await self._driver.run(operations.whole_outbox(self.session, state=state))

    async def dispatch(self, dispatch_id: str) -> DispatchView:
        """As :meth:`Hub.dispatch`."""
        return await self._driver.run(operations.dispatch(self.session, dispatch_id))

    async def inbox(
        self, *, after: int = 0, wait: int = 0, state: str | None = None, limit: int | None = None
    ) -> InboxPage:
        """As :meth:`Hub.inbox`."""
        return await self._driver.run(
            operations.inbox(self.session, after=after, wait=wait, state=state, limit=limit)
        )

    async def whole_inbox(self, *, state: str | None = None) -> tuple[ConsignmentView, ...]:
        """As :meth:`Hub.whole_inbox`."""
        return await self._driver.run(operations.whole_inbox(self.session, state=state))

    async def watch(self, *, after: int = 0) -> AsyncIterator[ConsignmentView]:
        """As :meth:`Hub.watch`."""
        while True:
            page = await self.inbox(after=after, wait=LONGEST_WAIT)
            for view in page.items:
                yield view
            after = max(after, page.cursor)

    async def consignment(self, consignment_id: str) -> ConsignmentView:
        """As :meth:`Hub.consignment`."""
        return await self._driver.run(operations.consignment(self.session, consignment_id))

    async def envelope(self, consignment_id: str) -> EnvelopeView:
        """As :meth:`Hub.envelope`."""
        return await self._driver.run(operations.envelope(self.session, consignment_id))

    async def fetch(
        self,
        consignment_id: str,
        folder: Path,
        *,
        judge: JudgeFile | None = None,
        progress: Progress | None = None,
    ) -> Fetched:
        """As :meth:`Hub.fetch`."""
        return await self._driver.run(
            fetch.fetch(self.session, consignment_id, folder, judge=judge, progress=progress)
        )

    async def sign_for(self, consignment_id: str) -> Acted:
        """As :meth:`Hub.sign_for`."""
        return await self._driver.run(operations.sign_for(self.session, consignment_id))

    async def return_(self, consignment_id: str, *, code: str, text: str) -> Acted:
        """As :meth:`Hub.return_`."""
        return await self._driver.run(operations.return_(self.session, consignment_id, code=code, text=text))

    async def recall(
        self, identifier: str, *, code: str | None = None, text: str = ""
    ) -> tuple[RecallOutcome, ...]:
        """As :meth:`Hub.recall`."""
        return await self._driver.run(operations.recall(self.session, identifier, code=code, text=text))

    async def receipt(self, evidence_id: str) -> CheckedReceipt:
        """As :meth:`Hub.receipt`."""
        return await self._driver.run(operations.receipt(self.session, evidence_id))

    async def package(self, identifier: str, path: Path) -> Path:
        """As :meth:`Hub.package`."""
        return await self._driver.run(fetch.package(self.session, identifier, path))

    async def refresh_trust(self) -> tuple[trust.RefreshedList, ...]:
        """As :meth:`Hub.refresh_trust`."""
        return await self._driver.run(trust.refresh(self.session))
