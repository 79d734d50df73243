"""The hub whole: dispatches of 100 KB with a seal to two recipients, over mutual TLS, to the receipt.

Sealing and signing are the clients' cost and stand outside the timed part. The load
generator is this process, on the same cores: what it uses is said as well. After the
run a sample of receipts is verified and the rows are counted, for a fast wrong answer
must not win.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from clients.bench.measure import Figure, peak_memory_mb, percentile, processor_seconds
from clients.bench.world import NAME, BenchUnit, code, sealed_paper
from clients.enrolment import decode_invitation, enrol
from clients.home import UnitHome
from clients.hub import Hub
from clients.receipts import check_receipt
from clients.transport import tls_context
from exchange.operator import NewHub, init_hub, invite
from exchange.protocol.api import SubmissionAnswer
from exchange.protocol.dispatch import Dispatch, Document, Metadata, encode_dispatch
from exchange.protocol.identifiers import DispatchId, digest_of, uuid7
from pki.names import UnitId

DISPATCHES = 300
SIZE = 100 * 1024
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission that only has to be sent."""

    body: bytes
    boundary: str


def measure() -> list[Figure]:
    """Dispatches per second, latencies, memory and processor time, with the seal check and two recipients."""
    with tempfile.TemporaryDirectory(prefix="gongwen-bench-") as name:
        folder = Path(name)
        units_port, public_port = _free_ports()
        init_hub(
            folder / "hub",
            NewHub(
                origin="hub.bench.example",
                unit=code(1),
                name="bench",
                units_listen=f"127.0.0.1:{units_port}",
                public_listen=f"127.0.0.1:{public_port}",
                units_url=f"https://127.0.0.1:{units_port}",
                public_url=f"https://127.0.0.1:{public_port}",
                server_names=("127.0.0.1",),
                kdf_cost=1 << 12,
            ),
        )
        with _serving(folder, f"https://127.0.0.1:{public_port}") as pid:
            homes = [_enrol(folder, number) for number in (2, 3, 4)]
            prepared = _prepare(homes[0], [homes[1].unit, homes[2].unit])
            return asyncio.run(_run(homes, prepared, pid))


async def _run(homes: list[UnitHome], prepared: list[Prepared], pid: int) -> list[Figure]:
    home = homes[0]
    context = tls_context(
        home.trust.store.anchors_for(None).certificates, signer=home.tls, certificates=home.tls_certificates
    )
    single, rest = prepared[:40], prepared[40:]
    async with aiohttp.ClientSession(
        base_url=home.config.units_url,
        connector=aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS),
    ) as session:
        await _post(session, single.pop())
        alone = [(await _post(session, one))[0] for one in single]
        before, judges_before, own_before = _processor(pid)
        started = time.perf_counter()
        queue = list(rest)
        took: list[float] = []
        answers: list[bytes] = []

        async def work() -> None:
            while queue:
                seconds, answer = await _post(session, queue.pop())
                took.append(seconds)
                answers.append(answer)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        wall = time.perf_counter() - started
        after, judges_after, own_after = _processor(pid)
    await asyncio.to_thread(_check, homes, answers, len(prepared))
    return [
        Figure("dispatches_per_s", len(rest) / wall, "1/s"),
        Figure("p50_ms", 1000 * percentile(took, 0.5), "ms"),
        Figure("p99_ms", 1000 * percentile(took, 0.99), "ms"),
        Figure("single_p50_ms", 1000 * statistics.median(alone), "ms"),
        Figure("hub_cpu_ms_per_dispatch", 1000 * (after - before) / len(rest), "ms"),
        Figure("judge_cpu_ms_per_dispatch", 1000 * (judges_after - judges_before) / len(rest), "ms"),
        Figure("client_cpu_ms_per_dispatch", 1000 * (own_after - own_before) / len(rest), "ms"),
        Figure("hub_peak_memory", peak_memory_mb(pid), "MB"),
        Figure("judge_peak_memory", max((peak_memory_mb(one) for one in _children(pid)), default=0.0), "MB"),
    ]


async def _post(session: aiohttp.ClientSession, one: Prepared) -> tuple[float, bytes]:
    started = time.perf_counter()
    async with session.post(
        "/v1/dispatches",
        data=one.body,
        headers={"Content-Type": f"multipart/form-data; boundary={one.boundary}"},
    ) as response:
        body = await response.read()
        if response.status != 201:
            raise RuntimeError(f"{response.status}: {body[:500]!r}")
    return time.perf_counter() - started, body


def _check(homes: list[UnitHome], answers: list[bytes], expected: int) -> None:
    """The receipts are good, and everything that was accepted arrived."""
    for raw in random.sample(answers, 10):
        answer = SubmissionAnswer.model_validate_json(raw)
        check_receipt(
            answer.receipt,
            trust=homes[0].trust,
            now=datetime.now(UTC),
            name=answer.evidence_id,
            expected=lambda _receipt: None,
        )
    for home in homes[1:]:
        with Hub(home) as hub:
            until = time.monotonic() + 30
            while len(hub.whole_inbox()) < expected:
                if time.monotonic() > until:
                    raise RuntimeError("not every accepted dispatch arrived")
                time.sleep(0.2)


def _prepare(home: UnitHome, recipients: list[UnitId]) -> list[Prepared]:
    unit = BenchUnit(home.unit, home.seal_key, home.seal_certificates)
    prepared = []
    for number in range(DISPATCHES):
        pdf = sealed_paper(unit, SIZE, number=number + 1)
        now = datetime.now(UTC)
        envelope = encode_dispatch(
            Dispatch(
                dispatch_id=DispatchId(uuid7(now, secrets.token_bytes(10))),
                sender=home.unit,
                origin=home.config.origin,
                main=(recipients[0],),
                copy=(recipients[1],),
                contents=Document(digest_of(pdf), "application/pdf", "正文.pdf", len(pdf)),
                attachments=(),
                metadata=Metadata(title="关于推进政务数据共享工作的通知"),
                sent_at=now,
                due_at=now + timedelta(days=3),
                expires_at=now + timedelta(days=30),
            )
        )
        signature = home.seal.sign(envelope, at=now)
        prepared.append(_multipart({"envelope": envelope, "signature": signature, "content": pdf}))
    return prepared


def _multipart(parts: dict[str, bytes]) -> Prepared:
    boundary = secrets.token_hex(16)
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in parts.items()
    )
    return Prepared(body + f"--{boundary}--\r\n".encode(), boundary)


def _enrol(folder: Path, number: int) -> UnitHome:
    invitation = invite(folder / "hub" / "hub.toml", code(number), NAME)
    enrol(
        decode_invitation(json.dumps(invitation).encode()),
        folder / f"unit{number}",
        secret=b"bench",
        now=lambda: datetime.now(UTC),
        jitter=random.random,
    )
    return UnitHome.open(folder / f"unit{number}", b"bench")


@contextlib.contextmanager
def _serving(folder: Path, public_url: str) -> Iterator[int]:
    config = folder / "hub" / "hub.toml"
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "clients", "hub", "serve", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        host, port = public_url.removeprefix("https://").split(":")
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the hub did not start")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(one) for one in (task / "children").read_text().split()]
    return found


def _processor(pid: int) -> tuple[float, float, float]:
    """Processor seconds so far of the hub, of its judging processes, and of ourselves."""
    judges = sum(processor_seconds(one) for one in _children(pid))
    return processor_seconds(pid), judges, processor_seconds(os.getpid())


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
