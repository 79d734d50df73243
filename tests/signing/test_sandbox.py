"""Judging in processes of their own: the same answers, and none of the trouble."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pki.path import UNIT_SEAL
from pki.text import Text, text
from signing.errors import SandboxBroken
from signing.report import FileReport, Verdict
from signing.sandbox.pool import Judged, JudgePool, JudgeRunner, Limits
from signing.sandbox.wire import (
    WireMalformed,
    decode_head,
    decode_prefix,
    decode_purpose,
    decode_report,
    decode_text,
    decode_trust,
    encode_frame,
    encode_purpose,
    encode_report,
    encode_trust,
)
from tests.signing import attacks
from tests.signing.pdfs import codes, judged, plain_pdf, seal, sealed_pdf, trust
from tests.worlds.pki import NOW, PkiWorld

REPORTS = {
    "good": lambda: judged(sealed_pdf()),
    "claimed": lambda: judged(sealed_pdf(), at=None),
    "changed": lambda: judged(attacks.page_content_replaced_later(sealed_pdf())),
    "unsealed": lambda: judged(plain_pdf()),
    "malformed": lambda: judged(b"{}"),
}


@pytest.fixture(scope="module")
def runner() -> Iterator[JudgeRunner]:
    with JudgeRunner() as one:
        yield one


def ask(runner: JudgeRunner, document: bytes | Path) -> Judged:
    return runner.judge(document, trust=trust(), purpose=UNIT_SEAL, now=NOW, at=NOW, file="a.pdf")


# --- the wire


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_goes_through_the_wire_without_loss(name: str) -> None:
    report = REPORTS[name]()
    frame = encode_frame(encode_report(report))
    head, payload = decode_prefix(frame[:8])
    assert payload == 0
    assert decode_report(decode_head(frame[8 : 8 + head])) == report


def test_a_trust_store_goes_through_the_wire_without_loss() -> None:
    frame = encode_trust(trust())
    assert decode_trust(frame.head, frame.payload).digest == trust().digest
    with pytest.raises(WireMalformed):
        decode_trust(dict(frame.head) | {"digest": "sha256:00"}, frame.payload)


def test_a_purpose_goes_through_the_wire_without_loss() -> None:
    assert decode_purpose(encode_purpose(UNIT_SEAL)) == UNIT_SEAL


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(FileReport)])
def test_an_answer_that_lacks_something_is_no_answer(key: str) -> None:
    value = encode_report(judged(sealed_pdf()))
    for broken in ({k: v for k, v in value.items() if k != key}, value | {key: 7}, value | {"more": 1}):
        with pytest.raises(WireMalformed):
            decode_report(broken)


@pytest.mark.parametrize("value", [None, [], ["{a}", []], ["{a.b}", [["a", "1"]]], ["a", [["b"]]], [1, []]])
def test_a_text_that_does_not_fit_its_values_is_refused(value: object) -> None:
    with pytest.raises(WireMalformed):
        decode_text(value)


def test_a_text_may_hold_braces_in_its_values() -> None:
    words = text("{detail}", detail="{evil}")
    assert (
        decode_text([words.template, [list(pair) for pair in words.fields]])
        == words
        == Text("{detail}", (("detail", "{evil}"),))
    )


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 100_000])
def test_a_head_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(WireMalformed):
        decode_head(data)


# --- good answers


def test_a_worker_finds_what_is_found_here(runner: JudgeRunner) -> None:
    answer = ask(runner, sealed_pdf())
    assert answer.report == judged(sealed_pdf())
    assert answer.report.verdict is Verdict.VALID
    assert answer.page_read
    assert answer.mark is None


def test_a_worker_reads_files_and_bytes_alike(runner: JudgeRunner, tmp_path: Path) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(sealed_pdf())
    assert ask(runner, file) == ask(runner, sealed_pdf())


def test_a_file_that_is_not_there_is_undecided(runner: JudgeRunner, tmp_path: Path) -> None:
    answer = ask(runner, tmp_path / "nothing.pdf")
    assert answer.report.verdict is Verdict.UNDECIDED
    assert not answer.page_read


def test_a_secrecy_mark_comes_with_the_answer(runner: JudgeRunner) -> None:
    from clients.official_paper import draw_official_document
    from tests.signing.pdfs import CREATED, DOCUMENT

    marked = draw_official_document(dataclasses.replace(DOCUMENT, secrecy="秘密★1年"), created=CREATED)
    answer = ask(runner, seal(marked))
    assert answer.mark == "秘密★1年"
    assert answer.report.verdict is Verdict.VALID


def test_a_worker_learns_of_another_trust_store(runner: JudgeRunner) -> None:
    other = PkiWorld()
    answer = runner.judge(sealed_pdf(), trust=other.trust(), purpose=UNIT_SEAL, now=NOW, at=NOW)
    assert answer.report.verdict is Verdict.UNDECIDED
    assert ask(runner, sealed_pdf()).report.verdict is Verdict.VALID


@pytest.mark.parametrize("document", [b"", b"%PDF-1.7\n" + b"1 0 obj\n<<" * 3000, os.urandom(3000)])
def test_nonsense_does_not_cost_a_worker(runner: JudgeRunner, document: bytes) -> None:
    assert ask(runner, document).report.verdict is Verdict.NOT_VALID
    assert ask(runner, sealed_pdf()).report.verdict is Verdict.VALID


# --- trouble


async def test_a_document_that_takes_too_long_is_undecided_and_the_worker_replaced() -> None:
    async with JudgePool(limits=Limits(seconds=0.001)) as pool:
        answer = await pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW, file="a.pdf")
        assert answer.report.verdict is Verdict.UNDECIDED
        assert codes(answer.report) == {"not-judged"}
        assert answer.report.file == "a.pdf"
        assert not answer.page_read


async def test_a_worker_that_dies_costs_one_answer_and_is_replaced() -> None:
    async with JudgePool() as pool:
        (worker,) = pool._alive
        worker._process.kill()  # our own child
        first = await pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW)
        second = await pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW)
    assert {first.report.verdict, second.report.verdict} <= {Verdict.UNDECIDED, Verdict.VALID_WITH_REMARKS}
    assert second.report.verdict is Verdict.VALID_WITH_REMARKS


async def test_a_document_that_needs_too_much_memory_is_not_valid() -> None:
    """60 MB of file with 150 MB of address space: the worker fails, not the hub."""
    big = plain_pdf() + bytes(60 * 1024 * 1024)
    async with JudgePool(limits=Limits(memory=150 * 1024 * 1024)) as pool:
        answer = await pool.judge(big, trust=trust(), purpose=UNIT_SEAL, now=NOW)
        assert answer.report.verdict in (Verdict.UNDECIDED, Verdict.NOT_VALID)
        answer = await pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW)
        assert answer.report.verdict is Verdict.VALID_WITH_REMARKS


async def test_a_worker_is_replaced_after_its_share() -> None:
    async with JudgePool(limits=Limits(documents=2)) as pool:
        seen = set()
        for _ in range(3):
            await pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW)
            seen |= {worker._process.pid for worker in pool._alive}
        assert len(seen) == 2


async def test_the_event_loop_goes_on_while_documents_are_judged() -> None:
    async with JudgePool(workers=2) as pool:
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before)

        ticking = asyncio.create_task(tick())
        answers = await asyncio.gather(
            *(pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW, at=NOW) for _ in range(8))
        )
        ticking.cancel()
    assert [one.report.verdict for one in answers] == [Verdict.VALID] * 8
    # No assertion on speed: only that ticks came at all between the answers.
    assert longest > 0


async def test_who_gives_up_waiting_leaves_the_pool_usable() -> None:
    async with JudgePool() as pool:
        task = asyncio.create_task(pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer = await pool.judge(sealed_pdf(), trust=trust(), purpose=UNIT_SEAL, now=NOW)
        assert answer.report.verdict is Verdict.VALID_WITH_REMARKS


async def test_a_closed_pool_judges_nothing_and_leaves_no_process() -> None:
    pool = JudgePool()
    await pool.start()
    pids = [worker._process.pid for worker in pool._alive]
    await pool.close()
    await pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(SandboxBroken):
        await pool.judge(b"", trust=trust(), purpose=UNIT_SEAL, now=NOW)


async def test_limits_too_narrow_to_start_are_told() -> None:
    with pytest.raises(SandboxBroken):
        async with JudgePool(limits=Limits(memory=20 * 1024 * 1024)):
            pass
