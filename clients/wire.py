"""What an operation asks of the world, as values; nothing here opens a socket (sans-I/O).

    def whoami() -> Operation[Whoami]:
        response = yield from call(Request("GET", "/v1/whoami"))
        return Whoami.model_validate_json(response.body)

An operation is a generator. It yields a :class:`Request`, a :class:`Pause` or a
:class:`Work` and is sent a :class:`Response` (or nothing); a request without an
answer is thrown into it as :class:`~clients.errors.TransportError`. The two drivers
in ``transport`` run the same operations, one blocking and one on asyncio, so no rule
of ours exists twice. Retries are a rule and live here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias, TypeVar

from clients.errors import AnswerMalformed, HubUntrusted, TransportError, problem_error
from exchange.protocol.api import Problem

T = TypeVar("T")

MAX_BODY = 64 * 1024 * 1024
"""Of an answer that is held in memory; contents and packages go to a file."""
RETRIES = 3
RETRIED = frozenset({408, 425, 429})
"""And every 5xx."""
LONGEST_PAUSE = 60.0
_BASE_PAUSE = 0.5
_PAUSE_CAP = 20.0

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many bytes of how many are through."""


@dataclass(frozen=True, slots=True)
class FileBody:
    """Part of a file as the body of a request: read while it is sent, never whole in memory."""

    path: Path
    offset: int
    length: int
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class FileSink:
    """A file that takes the body of an answer; what stood in it before ``offset`` is kept on 206."""

    path: Path
    offset: int = 0
    total: int = 0
    progress: Progress | None = None

    def begin(self, status: int) -> BinaryIO:
        """Open it where this answer belongs: 206 goes on at the offset, 200 starts anew."""
        if status == 206:
            file = self.path.open("r+b")
            file.seek(self.offset)
            file.truncate()
            return file
        return self.path.open("wb")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Everything that we send may be sent again: its bytes are its identity."""

    method: str
    path: str
    """Below the units' base URL, or a whole URL."""
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | FileBody | None = None
    sink: FileSink | None = None
    wait: float = 0.0
    """Seconds that the hub may keep us waiting on purpose, on top of the ordinary time-out."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer; header names in lower case. The body is empty where a sink took it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Something that takes the processor or the disk for long; the asyncio driver runs it in a thread."""

    run: Callable[[], None]


Step: TypeAlias = Request | Pause | Work
Operation: TypeAlias = Generator[Step, Response | None, T]


def exchange(request: Request) -> Operation[Response]:
    """Send once.

    Raises:
        TransportError: no answer came.
    """
    response = yield request
    assert response is not None
    return response


def work(run: Callable[[], T]) -> Operation[T]:
    """The result of a function that takes long."""
    box: list[T] = []

    def fill() -> None:
        box.append(run())

    yield Work(fill)
    return box[0]


def call(
    request: Request,
    *,
    retries: int = RETRIES,
    jitter: Callable[[], float],
    accept: frozenset[int] = frozenset({200, 201, 204, 206}),
) -> Operation[Response]:
    """Send, and send the same bytes again when that may help; return an answer of an accepted status.

    Tried again: no answer, 408, 425, 429 and 5xx, with full jitter and never sooner
    than ``Retry-After`` asks. Longer than a minute we do not sleep: the caller is told.

    Raises:
        TransportError: no answer came, the last time too.
        ApiError: the hub's answer to the last attempt.
    """
    attempt = 0
    while True:
        try:
            response = yield from exchange(request)
        except HubUntrusted:
            raise
        except TransportError:
            if attempt >= retries:
                raise
            asked: float | None = None
        else:
            if response.status in accept:
                return response
            asked = retry_after(response)
            again = response.status in RETRIED or response.status >= 500
            if not again or attempt >= retries or (asked or 0.0) > LONGEST_PAUSE:
                raise error_of(response)
        yield Pause(pause_before(attempt, asked=asked, jitter=jitter()))
        attempt += 1


def pause_before(attempt: int, *, asked: float | None, jitter: float) -> float:
    """Seconds before the next attempt: full jitter under an exponential bound, and what the hub asked."""
    bound: float = min(_PAUSE_CAP, _BASE_PAUSE * 2**attempt)
    return max(jitter * bound, asked or 0.0)


def retry_after(response: Response) -> float | None:
    """Seconds of the ``Retry-After`` header; its form with a date is not used by our hub and is ignored."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 8 else None


def problem_of(response: Response) -> Problem:
    """The problem document of an answer; one is made up for a proxy's page that is none."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/problem+json":
        try:
            return Problem.model_validate_json(response.body)
        except ValueError:
            pass
    return Problem(
        title="the hub, or something before it, refused",
        status=response.status,
        detail=f"HTTP status {response.status} without an explanation",
        code=_PLAIN_CODES.get(response.status, "http-status"),
        mender="operator",
        request_id=response.headers.get("x-request-id", ""),
    )


_PLAIN_CODES = {401: "unauthenticated", 403: "not-allowed", 404: "not-found", 413: "content-too-large"}


def error_of(response: Response) -> Exception:
    """The error that an answer is."""
    if response.status < 400:
        return AnswerMalformed(detail=f"unexpected status {response.status}")
    return problem_error(response.status, problem_of(response), retry_after=retry_after(response))
