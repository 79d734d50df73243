"""The ledger: appending, proofs old and new, auditing, and the committer that ties it to the database."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clients.bench.measure import Figure, percentile, rate
from clients.bench.world import code
from exchange.journey.ports import Change
from exchange.journey.stages import SignedEvidence
from exchange.ledger.audit import audit_ledger
from exchange.ledger.checkpoint import Checkpoint, sign_checkpoint
from exchange.ledger.export import export_files
from exchange.ledger.merkle import leaf_hash
from exchange.ledger.note import NoteSigner
from exchange.ledger.policy import LogLine, Policy
from exchange.ledger.tree import MemoryTree
from exchange.operator import found_ledger
from exchange.protocol.events import Event
from exchange.protocol.evidence import Actor, Evidence, Reason, encode_evidence
from exchange.protocol.identifiers import EvidenceId, digest_of, uuid7
from exchange.storage.committer import Committer
from exchange.storage.database import Database
from exchange.storage.ledger import LedgerFiles
from exchange.storage.records import SqlRecords
from exchange.storage.signer import EmbeddedSigner, Journal

ORIGIN = "hub.bench.example/ledger/2026"
AUDITED = 100_000
SECONDS = 3.0


def measure() -> list[Figure]:
    """Rates of one process; receipts are complete containers under a signed checkpoint."""
    key = NoteSigner.from_key(ORIGIN, Ed25519PrivateKey.generate())
    entries = [b'{"entry":%d,"padding":"%s"}' % (number, b"x" * 250) for number in range(AUDITED)]
    leaves = [leaf_hash(entry) for entry in entries]
    figures = [*_tree_figures(leaves), _audit_figure(entries, leaves, key)]
    for writers in (1, 50, 500):
        figures += asyncio.run(_commit_figures(writers, key))
    return figures


def _tree_figures(leaves: list[bytes]) -> Iterator[Figure]:
    started = time.perf_counter()
    tree = MemoryTree(cached=1 << 12)
    for at in range(0, len(leaves), 500):
        tree.extend(leaves[at : at + 500])
    yield Figure("appends_per_s", len(leaves) / (time.perf_counter() - started), "1/s")
    yield Figure("old_proofs_per_s_1e5", rate(lambda: tree.inclusion_proof(12_345)), "1/s")
    fresh = range(len(leaves) - 500, len(leaves))
    yield Figure("fresh_proofs_per_s", 500 * rate(lambda: tree.inclusion_proofs(fresh)), "1/s")


def _audit_figure(entries: list[bytes], leaves: list[bytes], key: NoteSigner) -> Figure:
    tree = MemoryTree()
    tree.extend(leaves)
    policy = Policy((LogLine(key.verifier),))
    note = sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root), [key])
    files = dict(export_files(iter(entries), policy.check(note)))

    class Memory:
        def read(self, path: str) -> bytes | None:
            return files.get(path)

        def paths(self) -> Iterator[str]:
            return iter(files)

    started = time.perf_counter()
    audit_ledger(Memory(), policy).check()
    return Figure("audit_entries_per_s", len(entries) / (time.perf_counter() - started), "1/s")


async def _commit_figures(writers: int, key: NoteSigner) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="gongwen-bench-") as folder:
        database = Database(f"sqlite+aiosqlite:///{folder}/hub.sqlite")
        await database.migrate()
        found_ledger(database, ORIGIN, datetime.now(UTC))
        Journal.create(Path(folder) / "journal", ORIGIN)
        files = LedgerFiles(database, ORIGIN)
        committer = Committer(
            database,
            files,
            SqlRecords(database, files),
            EmbeddedSigner(Journal(Path(folder) / "journal"), key),
            clock=lambda: datetime.now(UTC),
            random=os.urandom,
        )
        await committer.start()
        took: list[float] = []
        until = time.perf_counter() + SECONDS

        async def write() -> None:
            while (started := time.perf_counter()) < until:
                await committer.commit(_change())
                took.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(*(write() for _ in range(writers)))
        seconds = time.perf_counter() - started
        await committer.close()
        await database.close()
    return [
        Figure(f"receipts_per_s_{writers}", len(took) / seconds, "1/s"),
        Figure(f"p50_ms_{writers}", 1000 * percentile(took, 0.5), "ms"),
        Figure(f"p99_ms_{writers}", 1000 * percentile(took, 0.99), "ms"),
    ]


def _change() -> Change:
    """An evidence that stands for itself; its signature is not what is measured here."""
    now = datetime.now(UTC)
    evidence = Evidence(
        evidence_id=EvidenceId(uuid7(now, os.urandom(10))),
        event=Event.SUBMISSION_REJECTION,
        event_time=now,
        actor=Actor(code(1), digest_of(b"certificate")),
        origin="hub.bench.example",
        policy="1.2.3",
        sender=code(2),
        dispatch=digest_of(os.urandom(8)),
        dispatch_id=None,
        submitted_at=now,
        reasons=(Reason("bench", "bench"),),
    )
    body = encode_evidence(evidence)
    return Change(
        SignedEvidence(
            evidence=evidence,
            body=body,
            signature=b"\x30" * 900,
            posted=None,
            salt=os.urandom(32),
            rid=os.urandom(16).hex(),
            revocation=(),
        )
    )
