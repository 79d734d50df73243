"""The two drivers that carry out operations: blocking and asyncio, both on httpx2.

TLS 1.3 only, under the anchors of the unit's trust folder and nothing else of this
machine; proxies and trust stores named in the environment are not used. The unit
shows its TLS certificate. Connections are kept alive. What is asked, and what is
asked again, is decided in ``wire`` and ``operations``; here bytes move.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from clients.errors import AnswerMalformed, ApiError, AuthenticationError, HubUntrusted, TransportError
from clients.wire import MAX_BODY, FileBody, FileSink, Operation, Pause, Request, Response, Work
from exchange.protocol.api import Problem
from pki.keys import SoftwareSigner

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
CHUNK = 256 * 1024

# What the hub's TLS says when it does not take our certificate. In TLS 1.3 this comes
# with the first read, after our side believes the handshake done.
_REFUSALS = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
)


def tls_context(
    anchors: Sequence[x509.Certificate],
    *,
    signer: SoftwareSigner | None = None,
    certificates: Sequence[x509.Certificate] = (),
) -> ssl.SSLContext:
    """A client context: TLS 1.3, these anchors alone, host name checked, our certificate if there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata="".join(_pem(anchor) for anchor in anchors))
    if signer is not None:
        _load_key(context, signer, certificates)
    return context


def _load_key(
    context: ssl.SSLContext, signer: SoftwareSigner, certificates: Sequence[x509.Certificate]
) -> None:
    """Give key and certificates to OpenSSL.

    The ssl module takes them from a file only. So that the key never stands on
    a disk in clear, the file is memory where the system has that, and else a
    0600 file under a secret that is used this once.
    """
    secret = secrets.token_bytes(32).hex().encode()
    key = signer.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(secret))
    data = key + "".join(_pem(one) for one in certificates).encode()
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with os.fdopen(os.memfd_create("gongwen-tls"), "wb") as file:
            file.write(data)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=secret)
        return
    descriptor, name = tempfile.mkstemp(prefix="gongwen-tls-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        context.load_cert_chain(name, password=secret)
    finally:
        Path(name).unlink()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


class Driver:
    """Runs operations, blocking. Not for two threads at once."""

    def __init__(
        self,
        base_url: str,
        *,
        tls: ssl.SSLContext | None = None,
        transport: httpx2.BaseTransport | None = None,
        language: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._client = httpx2.Client(
            base_url=base_url,
            transport=transport,
            verify=True if tls is None else tls,
            trust_env=False,
            headers=_headers(language),
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
        )

    def run(self, operation: Operation[T]) -> T:
        """Carry the operation out and return what it gives."""
        reply: Response | None = None
        failure: Exception | None = None
        while True:
            try:
                step = operation.throw(failure) if failure is not None else operation.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply, failure = None, None
            # Whatever goes wrong is the operation's to handle first.
            try:
                match step:
                    case Pause(seconds):
                        self._sleep(seconds)
                    case Work(run):
                        run()
                    case Request():
                        reply = self._send(step)
            except Exception as error:
                failure = error

    def _send(self, request: Request) -> Response:
        body = _read(request.body) if isinstance(request.body, FileBody) else request.body
        with (
            _translated(),
            self._client.stream(
                request.method,
                request.path,
                params=list(request.query) or None,
                headers=_request_headers(request),
                content=body,
                timeout=_timeout(request),
            ) as answer,
        ):
            if request.sink is not None and answer.status_code in (200, 206):
                with request.sink.begin(answer.status_code) as file:
                    done = file.tell()
                    for chunk in answer.iter_bytes(CHUNK):
                        file.write(chunk)
                        done += len(chunk)
                        _tell(request.sink, done)
                return _response(answer, b"")
            parts = []
            size = 0
            for chunk in answer.iter_bytes(CHUNK):
                size += len(chunk)
                _check_size(size)
                parts.append(chunk)
            return _response(answer, b"".join(parts))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncDriver:
    """Runs operations on asyncio; several at once share its connections."""

    def __init__(
        self,
        base_url: str,
        *,
        tls: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        language: str | None = None,
    ) -> None:
        self._client = httpx2.AsyncClient(
            base_url=base_url,
            transport=transport,
            verify=True if tls is None else tls,
            trust_env=False,
            headers=_headers(language),
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
        )

    async def run(self, operation: Operation[T]) -> T:
        """Carry the operation out and return what it gives."""
        reply: Response | None = None
        failure: Exception | None = None
        while True:
            try:
                step = operation.throw(failure) if failure is not None else operation.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply, failure = None, None
            try:
                match step:
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Work(run):
                        await asyncio.to_thread(run)
                    case Request():
                        reply = await self._send(step)
            except Exception as error:
                failure = error

    async def _send(self, request: Request) -> Response:
        body = _read_async(request.body) if isinstance(request.body, FileBody) else request.body
        with _translated():
            async with self._client.stream(
                request.method,
                request.path,
                params=list(request.query) or None,
                headers=_request_headers(request),
                content=body,
                timeout=_timeout(request),
            ) as answer:
                if request.sink is not None and answer.status_code in (200, 206):
                    with request.sink.begin(answer.status_code) as file:
                        done = file.tell()
                        async for chunk in answer.aiter_bytes(CHUNK):
                            await asyncio.to_thread(file.write, chunk)
                            done += len(chunk)
                            _tell(request.sink, done)
                    return _response(answer, b"")
                parts = []
                size = 0
                async for chunk in answer.aiter_bytes(CHUNK):
                    size += len(chunk)
                    _check_size(size)
                    parts.append(chunk)
                return _response(answer, b"".join(parts))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _headers(language: str | None) -> dict[str, str]:
    headers = {"User-Agent": "gongwen-client", "Accept-Encoding": "identity"}
    if language is not None:
        headers["Accept-Language"] = language
    return headers


def _request_headers(request: Request) -> list[tuple[str, str]]:
    headers = list(request.headers)
    if isinstance(request.body, FileBody):
        headers.append(("Content-Length", str(request.body.length)))
    return headers


def _timeout(request: Request) -> httpx2.Timeout:
    return httpx2.Timeout(READ_TIMEOUT + request.wait, connect=CONNECT_TIMEOUT)


def _response(answer: httpx2.Response, body: bytes) -> Response:
    return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)


def _tell(sink: FileSink, done: int) -> None:
    if sink.progress is not None:
        sink.progress(done, sink.total)


def _check_size(size: int) -> None:
    if size > MAX_BODY:
        raise AnswerMalformed(detail=f"longer than {MAX_BODY} bytes")


def _read(body: FileBody) -> Iterator[bytes]:
    left = body.length
    with body.path.open("rb") as file:
        file.seek(body.offset)
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                # The declared length would never be reached and the hub would wait for it.
                raise TransportError(detail=f"{body.path.name} became shorter while it was sent")
            left -= len(chunk)
            yield chunk
            if body.progress is not None:
                body.progress(body.offset + body.length - left, body.offset + body.length)


async def _read_async(body: FileBody) -> AsyncIterator[bytes]:
    chunks = _read(body)
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Let only our own errors out of the HTTP library."""
    try:
        yield
    except httpx2.HTTPError as error:
        raise _our_error(error) from error
    except (httpx2.InvalidURL, ssl.SSLError, ConnectionError) as error:
        raise _our_error(error) from error


def _our_error(error: Exception) -> Exception:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return HubUntrusted(detail=seen.verify_message)
        seen = seen.__cause__ or seen.__context__
    sentence = str(error) or type(error).__name__
    shouted = sentence.upper().replace(" ", "_")
    if "ALERT" in shouted and any(refusal in shouted for refusal in _REFUSALS):
        return _refused_handshake(sentence)
    return TransportError(detail=sentence)


def _refused_handshake(sentence: str) -> ApiError:
    """The hub ended the handshake because of our certificate: as good as a 401."""
    return AuthenticationError(
        Problem(
            title="the hub does not accept this unit's TLS certificate",
            status=401,
            detail=sentence,
            code="unauthenticated",
            mender="operator",
            request_id="",
        )
    )
