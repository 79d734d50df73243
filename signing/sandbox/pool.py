"""Workers that judge documents, started, fed, watched and replaced.

    async with JudgePool(workers=2) as pool:
        judged = await pool.judge(Path("a.pdf"), trust=trust, purpose=UNIT_SEAL, now=now)

    with JudgeRunner() as runner:
        judged = runner.judge(pdf, trust=trust, purpose=UNIT_SEAL, now=now)

A worker that dies, takes too long or talks nonsense is killed and replaced, and the
document it had is undecided. Only processes that a pool started itself are ever
killed. The event loop never waits for a document.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pki.path import Purpose, TrustStore
from pki.text import N_, text
from signing.errors import SandboxBroken
from signing.report import FileReport, Finding, Indication, JsonObject, Severity, Verdict
from signing.sandbox.wire import (
    PREFIX,
    TrustFrame,
    WireMalformed,
    decode_head,
    decode_prefix,
    decode_report,
    encode_frame,
    encode_purpose,
    encode_trust,
)

T = TypeVar("T")

_NOT_JUDGED = N_("the document could not be judged within its bounds: {reason}")
_REASON_TIME = N_("it took longer than {seconds} seconds")
_REASON_DIED = N_("the judging process ended")
_REASON_NONSENSE = N_("the judging process gave no proper answer")
_REASON_FILE = N_("the file cannot be read")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one worker and one document.

    ``memory`` is address space, of which an idle worker takes 80 MB; too little and no
    worker starts. ``seconds`` is the time from
    handing a document over to the answer, ``processor_seconds`` what the system counts for
    one document.
    ``documents`` is after how many a worker is replaced, so that what a library
    leaks does not add up.
    """

    memory: int = 1024**3
    seconds: float = 60.0
    processor_seconds: int = 60
    start_seconds: float = 30.0
    documents: int = 200
    size: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Judged:
    """What a worker found: the report, and the secrecy mark at the head of the first page.

    ``page_read`` says whether the first page could be read at all: without it, that
    there is no mark is not known.
    """

    report: FileReport
    mark: str | None
    page_read: bool


class JudgePool:
    """A fixed number of workers behind a queue. For one event loop."""

    def __init__(self, *, workers: int = 1, limits: Limits | None = None) -> None:
        """Nothing is started yet: enter it, or call :meth:`start`."""
        if workers < 1:
            raise ValueError("a pool has at least one worker")
        self._limits = limits or Limits()
        self._count = workers
        self._idle: asyncio.Queue[_Worker | None] = asyncio.Queue()
        self._alive: set[_Worker] = set()
        self._frames: OrderedDict[str, TrustFrame] = OrderedDict()
        self._state = "new"

    async def start(self) -> None:
        """Start the workers; on return every one of them is ready.

        Raises:
            SandboxBroken: a worker does not start, or the pool was used before.
        """
        if self._state != "new":
            raise SandboxBroken("a pool is started once")
        self._state = "open"
        try:
            for worker in await asyncio.gather(*(self._spawn() for _ in range(self._count))):
                self._idle.put_nowait(worker)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Kill the workers; documents that are being judged end undecided. May be called twice."""
        self._state = "closed"
        await asyncio.gather(*(worker.kill() for worker in list(self._alive)))
        self._alive.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def judge(
        self,
        document: bytes | Path,
        *,
        trust: TrustStore,
        purpose: Purpose,
        now: datetime,
        at: datetime | None = None,
        file: str = "",
    ) -> Judged:
        """Judge a document, given as bytes or as a path that a worker can read.

        Waits for a free worker. Whatever the document does to its worker, the answer
        comes within the limits' time, and is undecided then.

        Raises:
            SandboxBroken: the pool is not open, or no worker can be started any more.
        """
        if self._state != "open":
            raise SandboxBroken("the pool is not open")
        frame = self._trust_frame(trust)
        head: JsonObject = {
            "op": "judge",
            "trust": frame.digest,
            "purpose": encode_purpose(purpose),
            "now": now.isoformat(),
            "at": None if at is None else at.isoformat(),
            "file": file,
            "limit": self._limits.size,
            "path": None,
        }
        payload = b""
        if isinstance(document, Path):
            # The worker would die of a missing file; that is not the document's doing.
            if not await asyncio.to_thread(os.access, document, os.R_OK):
                return _not_judged(file, _REASON_FILE)
            head["path"] = str(await asyncio.to_thread(document.resolve))
        elif len(document) <= self._limits.size:
            payload = document
        else:
            payload = document[: self._limits.size + 1]
        worker = await self._idle.get()
        back: _Worker | None = None
        try:
            if worker is None or not worker.usable(self._limits.documents):
                if worker is not None:
                    await self._discard(worker)
                worker = await self._spawn()
            judged = await self._ask(worker, frame, encode_frame(head, payload), file)
            if judged is not None:
                back = worker
                return judged
            return _not_judged(file, worker.trouble or _REASON_NONSENSE, seconds=self._limits.seconds)
        finally:
            # Also when the caller gave up: a worker in the middle of something is of no use to the next.
            if back is None and worker is not None:
                await self._discard(worker)
            self._idle.put_nowait(back)

    async def _ask(self, worker: _Worker, frame: TrustFrame, request: bytes, file: str) -> Judged | None:
        """The worker's answer; None when it is to be replaced."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                if not worker.knows(frame.digest):
                    if (await worker.ask(encode_frame(frame.head, frame.payload))).get("ok") is not True:
                        raise WireMalformed("the trust store was not taken")
                    worker.learn(frame.digest)
                worker.documents += 1
                return _read_answer(await worker.ask(request), file)
        except TimeoutError:
            worker.trouble = _REASON_TIME
        except (asyncio.IncompleteReadError, ConnectionError):
            worker.trouble = _REASON_DIED
        except (WireMalformed, KeyError):
            worker.trouble = _REASON_NONSENSE
        return None

    def _trust_frame(self, trust: TrustStore) -> TrustFrame:
        digest = trust.digest
        frame = self._frames.get(digest)
        if frame is None:
            frame = self._frames[digest] = encode_trust(trust)
            while len(self._frames) > 4:
                self._frames.popitem(last=False)
        self._frames.move_to_end(digest)
        return frame

    async def _spawn(self) -> _Worker:
        worker = await _Worker.start(self._limits)
        if self._state != "open":
            await worker.kill()
            raise SandboxBroken("the pool was closed")
        self._alive.add(worker)
        return worker

    async def _discard(self, worker: _Worker) -> None:
        self._alive.discard(worker)
        await worker.kill()


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._known: OrderedDict[str, None] = OrderedDict()
        self.documents = 0
        self.trouble: str | None = None

    @classmethod
    async def start(cls, limits: Limits) -> _Worker:
        """A worker that has said it is ready. Raises SandboxBroken."""
        # Nothing of our environment but what Python needs: it may hold secrets, a worker needs none.
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "signing.sandbox.worker",
                str(limits.memory),
                str(limits.processor_seconds),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                limit=1024 * 1024,
            )
        except OSError as error:
            raise SandboxBroken(f"a worker does not start: {error}") from error
        worker = cls(process)
        try:
            async with asyncio.timeout(limits.start_seconds):
                ready = (await worker._receive()).get("ready") is True
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, WireMalformed):
            ready = False
        except BaseException:
            await worker.kill()
            raise
        if not ready:
            await worker.kill()
            raise SandboxBroken("a worker does not become ready; are its limits too narrow?")
        return worker

    def usable(self, documents: int) -> bool:
        return self._process.returncode is None and self.documents < documents

    def knows(self, digest: str) -> bool:
        return digest in self._known

    def learn(self, digest: str) -> None:
        # As many as the worker keeps, and in the same order.
        self._known[digest] = None
        while len(self._known) > 4:
            self._known.popitem(last=False)

    async def ask(self, frame: bytes) -> JsonObject:
        assert self._process.stdin is not None
        self._process.stdin.write(frame)
        await self._process.stdin.drain()
        return await self._receive()

    async def kill(self) -> None:
        """End the process, and wait until it has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:
                self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _receive(self) -> JsonObject:
        assert self._process.stdout is not None
        head, payload = decode_prefix(await self._process.stdout.readexactly(PREFIX))
        if payload:
            raise WireMalformed("an answer with a payload")
        return decode_head(await self._process.stdout.readexactly(head))


def _read_answer(head: JsonObject, file: str) -> Judged:
    report = decode_report(head["report"])
    mark, page_read = head["mark"], head["page_read"]
    if report.file != file or not isinstance(mark, str | None) or not isinstance(page_read, bool):
        raise WireMalformed("an answer of another form")
    return Judged(report, mark, page_read)


def _not_judged(file: str, reason: str, **fields: object) -> Judged:
    said = text(reason, **fields) if "{" in reason else text(reason)
    finding = Finding("not-judged", Severity.WARNING, text(_NOT_JUDGED, reason=said))
    return Judged(
        FileReport(file, Verdict.UNDECIDED, Indication.INDETERMINATE, None, (), (finding,)), None, False
    )


class JudgeRunner:
    """A pool for code without an event loop: it keeps one in a thread of its own."""

    def __init__(self, *, workers: int = 1, limits: Limits | None = None) -> None:
        """Nothing is started yet: enter it."""
        self._make: Callable[[], JudgePool] = lambda: JudgePool(workers=workers, limits=limits)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pool: JudgePool | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gongwen-judge", daemon=True)
        self._thread.start()
        try:
            self._pool = self._run(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._run(self._pool.close())
        self._end()

    def judge(
        self,
        document: bytes | Path,
        *,
        trust: TrustStore,
        purpose: Purpose,
        now: datetime,
        at: datetime | None = None,
        file: str = "",
    ) -> Judged:
        """As :meth:`JudgePool.judge`; waits for the answer. May be called from several threads."""
        if self._pool is None:
            raise SandboxBroken("the pool is not open")
        return self._run(self._pool.judge(document, trust=trust, purpose=purpose, now=now, at=at, file=file))

    async def _open(self) -> JudgePool:
        pool = self._make()
        await pool.start()
        return pool

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._pool = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
