"""A full disk, too little left, a locked database: the hub says so, keeps answering, and goes on afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from exchange.protocol.identifiers import digest_of
from tests.end_to_end.hubs import TestHub, TestUnit, make_hub, set_settings, submit
from tests.exchange.web.looking import check_problem, settled_outbox

DISK = 48 << 20


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = tmp_path_factory.mktemp("disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "gongwen-test", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        reason = f"no small disk could be mounted: {done.stderr.decode().strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def reads(office: TestUnit, finance: TestUnit, dispatch_id: str) -> dict[str, int]:
    """What must go on whatever cannot be written."""
    view = office.door.get(f"/v1/dispatches/{dispatch_id}").json()
    pages = {
        "/v1/whoami": office,
        "/v1/directory": office,
        "/v1/dispatches": office,
        f"/v1/dispatches/{dispatch_id}/package": office,
        "/v1/inbox": finance,
        f"/v1/receipts/{view['evidence'][0]['evidence_id']}": office,
        f"/v1/contents/{view['documents'][0]['digest']}": finance,
        "/healthz": office,
    }
    answers = {path: unit.door.get(path).status_code for path, unit in pages.items()}
    with office.hub.public() as public:
        for path in ("/ledger/checkpoint", "/v1/hub", "/v1/crls/root.crl", "/ledger/tile/entries/000.p/1"):
            answers[path] = public.get(path).status_code
    return answers


def fill(disk: Path) -> Path:
    """Take every byte that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def test_full_disk(mounted: Path, tmp_path: Path) -> None:
    hub = make_hub(mounted / "hub", beside=tmp_path)
    hub.start()
    try:
        with (
            contextlib.closing(hub.enrol("11310000MB0000002", "市政府办公室")) as office,
            contextlib.closing(hub.enrol("11310000MB0000003", "市财政局")) as finance,
        ):
            pdf = office.sealed()
            envelope = office.envelope([pdf], [finance.unit])
            first = submit(office.door, envelope, office.sign(envelope), pdf)
            assert first.status_code == 201
            settled_outbox(office)
            dispatch_id = first.json()["dispatch_id"]
            size = hub.ledger_size()
            filler = fill(mounted)
            assert shutil.disk_usage(mounted).free == 0
            contents = hub.contents()

            data = secrets.token_bytes(100_000)
            url = f"/v1/contents/{digest_of(data)}"
            check_problem(office.door.put(url, content=data), 507, "storage-full")
            assert hub.contents() == contents
            refused = []
            # The log of the database may have room left over: then some still get through, whole.
            for _ in range(40):
                envelope = office.envelope([pdf], [finance.unit])
                signature = office.sign(envelope)
                answer = submit(office.door, envelope, signature)
                if answer.status_code != 201:
                    check_problem(answer, 507, "storage-full")
                    refused.append((envelope, signature))
                    if len(refused) == 3:
                        break
            assert len(refused) == 3
            assert set(reads(office, finance, dispatch_id).values()) == {200}
            with hub.public() as public:
                assert public.get("/readyz").status_code == 503

            filler.unlink()
            with hub.public() as public:
                assert public.get("/readyz").status_code == 200
            for envelope, signature in refused:
                assert submit(office.door, envelope, signature).status_code == 201
            assert office.door.put(url, content=data).status_code == 201
            settled_outbox(office)
            assert hub.ledger_size() > size
        assert hub.stop() == 0
        hub.start()
        assert hub.stop() == 0
    finally:
        hub.kill()


def test_disk_that_fills_during_an_upload(mounted: Path, tmp_path: Path) -> None:
    """The announced size fits, and then somebody else takes the room."""
    for old in mounted.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    hub = make_hub(mounted / "hub", beside=tmp_path)
    with hub.running(), contextlib.closing(hub.enrol("11310000MB0000002", "市政府办公室")) as office:
        data = secrets.token_bytes(12 << 20)
        filler: list[Path] = []

        def slowly() -> Iterator[bytes]:
            half = len(data) // 2
            yield data[:half]
            time.sleep(0.5)
            filler.append(fill(mounted))
            yield data[half:]

        before = hub.contents()
        url = f"/v1/contents/{digest_of(data)}"
        answer = office.door.put(url, content=slowly(), headers={"Content-Length": str(len(data))})
        check_problem(answer, 507, "storage-full")
        assert hub.contents() == before
        assert office.door.head(url).status_code == 404
        filler[0].unlink()
        assert office.door.put(url, content=data).status_code == 201


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestHub, TestUnit, TestUnit, str]]:
    """A hub on this machine's disk with one dispatch in it."""
    hub = make_hub(tmp_path_factory.mktemp("ordinary") / "hub")
    hub.start()
    try:
        with (
            contextlib.closing(hub.enrol("11310000MB0000002", "市政府办公室")) as office,
            contextlib.closing(hub.enrol("11310000MB0000003", "市财政局")) as finance,
        ):
            pdf = office.sealed()
            envelope = office.envelope([pdf], [finance.unit])
            answer = submit(office.door, envelope, office.sign(envelope), pdf)
            assert answer.status_code == 201
            settled_outbox(office)
            yield hub, office, finance, answer.json()["dispatch_id"]
    finally:
        hub.kill()


def test_too_little_space_left(ordinary: tuple[TestHub, TestUnit, TestUnit, str]) -> None:
    """Contents are refused while there is still room for the database."""
    hub, office, finance, dispatch_id = ordinary
    assert hub.stop() == 0
    set_settings(hub.config, {"min_free_bytes": 1 << 60})
    hub.start()
    data = secrets.token_bytes(1000)
    url = f"/v1/contents/{digest_of(data)}"
    before = hub.contents()
    check_problem(office.door.put(url, content=data), 507, "storage-full")
    envelope = office.envelope([pdf := office.sealed("另一份")], [finance.unit])
    signature = office.sign(envelope)
    check_problem(submit(office.door, envelope, signature, pdf), 507, "storage-full")
    assert hub.contents() == before
    assert set(reads(office, finance, dispatch_id).values()) == {200}
    # What needs no new content still goes.
    known = office.envelope([office.sealed()], [finance.unit])
    assert submit(office.door, known, office.sign(known)).status_code == 201
    with hub.public() as public:
        ready = public.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["contents"] != "ok"
    assert hub.stop() == 0
    set_settings(hub.config, {"min_free_bytes": 0})
    hub.start()
    assert submit(office.door, envelope, signature, pdf).status_code == 201


def test_database_locked_by_another_process(ordinary: tuple[TestHub, TestUnit, TestUnit, str]) -> None:
    hub, office, finance, dispatch_id = ordinary
    settled_outbox(office)
    size = hub.ledger_size()
    envelope = office.envelope([office.sealed()], [finance.unit])
    signature = office.sign(envelope)
    answers: list[httpx2.Response] = []

    def send() -> None:
        with office.http() as client:
            answers.append(submit(client, envelope, signature))

    with contextlib.closing(sqlite3.connect(hub.folder / "hub.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(0.5)
        # The hub waits for the lock with one thread, and answers with the others.
        started = time.monotonic()
        assert set(reads(office, finance, dispatch_id).values()) == {200}
        assert time.monotonic() - started < 3
        thread.join(30)
        other.execute("ROLLBACK")
    (answer,) = answers
    problem = check_problem(answer, 503, "storage-busy")
    assert int(answer.headers["Retry-After"]) > 0
    assert problem.receipt is None
    assert hub.ledger_size() == size
    assert submit(office.door, envelope, signature).status_code == 201
    assert submit(office.door, envelope, signature).status_code == 200


def test_short_lock_is_waited_for(ordinary: tuple[TestHub, TestUnit, TestUnit, str]) -> None:
    hub, office, finance, _dispatch_id = ordinary
    envelope = office.envelope([office.sealed()], [finance.unit])
    with contextlib.closing(
        sqlite3.connect(hub.folder / "hub.sqlite", isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(1.0, other.execute, ("ROLLBACK",))
        timer.start()
        answer = submit(office.door, envelope, office.sign(envelope))
        timer.join()
    assert answer.status_code == 201, answer.text
