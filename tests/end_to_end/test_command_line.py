"""``gongwen demo`` and ``gongwen hub serve`` as a user runs them: what they say, what they leave, how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import pytest
from cryptography import x509

from clients.home import UnitHome
from clients.hub import Hub
from clients.transport import tls_context
from exchange.config import read_settings
from tests.conftest import Demo
from tests.end_to_end.hubs import code, free_ports, gongwen

PARTS = ["dispatches", "documents", "hub", "ledger", "receipts", "trust"]


def test_demo_leaves_exactly_the_folder_of_the_design(demo: Demo) -> None:
    """DESIGN §7."""
    assert sorted(one.name for one in demo.folder.iterdir()) == PARTS
    assert sorted(one.name for one in (demo.folder / "trust").iterdir()) == [
        "anchors",
        "crls",
        "intermediates",
        "ledger.policy",
    ]
    assert {one.suffix for one in demo.files("documents")} == {".pdf"}
    assert {one.suffix for one in demo.files("dispatches")} == {".asice"}
    assert all(one.name.endswith(".receipt.asics") for one in demo.files("receipts"))
    assert (demo.folder / "ledger" / "checkpoint").is_file()
    assert len(demo.files("documents")) >= 2
    assert len(demo.files("dispatches")) >= 2
    assert len(demo.files("receipts")) >= 10


def test_secrets_of_the_kept_hub_are_private(demo: Demo) -> None:
    for file in demo.files("hub"):
        if file.name in ("secret", "root-secret") or file.suffix == ".key":
            assert file.stat().st_mode & 0o077 == 0, file


def test_demo_says_what_it_did(demo: Demo) -> None:
    said = demo.said
    assert said["folder"] == str(demo.folder)
    steps = [one["step"] for one in said["steps"]]
    for step in ("enrolled", "sealed", "sent", "signed-for", "returned", "recalled", "refused", "audited"):
        assert step in steps
    assert said["ledger"]["outcome"] == "PROVEN"
    assert said["ledger"]["files"] == len(demo.files("ledger"))
    assert said["ledger"]["entries"] == len(demo.files("receipts"))
    verified = {Path(one["file"]).name for one in said["verified"]}
    everything = [*demo.files("documents"), *demo.files("dispatches"), *demo.files("receipts")]
    assert verified == {one.name for one in everything}
    assert {one["verdict"] for one in said["verified"]} <= {"valid", "valid_with_remarks"}
    for one in said["verified"]:
        assert one["indication"] == "TOTAL-PASSED"
        assert one["seals"]


def test_demo_without_keep_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    done = gongwen("demo", "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["folder"] is None
    assert list(tmp_path.iterdir()) == []


def test_demo_does_not_touch_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = gongwen("demo", "--dir", tmp_path, "--keep")
    assert done.returncode == 2
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def serve(config: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "clients", "hub", "serve", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def wait_until_ready(url: str, anchor: x509.Certificate) -> None:
    with httpx2.Client(verify=tls_context([anchor]), trust_env=False) as client:
        until = time.monotonic() + 30
        while True:
            try:
                assert client.get(f"{url}/readyz").status_code == 200
            except httpx2.TransportError:
                assert time.monotonic() < until
                time.sleep(0.05)
            else:
                return


def test_kept_hub_starts_again_and_knows_everything(demo: Demo) -> None:
    config = demo.folder / "hub" / "hub.toml"
    settings = read_settings(config)
    (anchor,) = (demo.folder / "trust" / "anchors").iterdir()
    process = serve(config)
    try:
        wait_until_ready(settings.public_url, x509.load_pem_x509_certificate(anchor.read_bytes()))
        units = demo.folder / "hub" / "demo-units"
        receipts = {file.name.partition(".")[0]: file.read_bytes() for file in demo.files("receipts")}
        home = units / "office"
        with Hub(UnitHome.open(home, (home / "secret").read_bytes().strip())) as hub:
            views = hub.whole_outbox()
            assert {view.state for view in views} == {"CLOSED_WITH_EXCEPTIONS", "WITHDRAWN"}
            for evidence_id, data in receipts.items():
                assert hub.receipt(evidence_id).raw == data
        done = gongwen(
            "ledger",
            "audit",
            f"{settings.public_url}/ledger",
            "--policy",
            demo.folder / "trust" / "ledger.policy",
            "--ca",
            anchor,
            "--json",
        )
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["entries"] == len(receipts)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_second_hub_on_the_same_folder_does_not_start(demo: Demo) -> None:
    """Also on other ports: two writers would fence each other off, and the first may be the one that stops."""
    config = demo.folder / "hub" / "hub.toml"
    settings = read_settings(config)
    (anchor,) = (demo.folder / "trust" / "anchors").iterdir()
    units, public = free_ports(2)
    elsewhere = {
        "GONGWEN_UNITS_LISTEN": f"127.0.0.1:{units}",
        "GONGWEN_PUBLIC_LISTEN": f"127.0.0.1:{public}",
    }
    first = serve(config)
    try:
        wait_until_ready(settings.public_url, x509.load_pem_x509_certificate(anchor.read_bytes()))
        second = serve(config, **elsewhere)
        try:
            assert second.wait(4) != 0
        except subprocess.TimeoutExpired:
            pytest.fail("two hubs run on one folder")
        finally:
            second.kill()
            second.wait()
    finally:
        first.terminate()
        assert first.wait(20) == 0


def test_second_hub_on_the_same_port_does_not_start(demo: Demo) -> None:
    config = demo.folder / "hub" / "hub.toml"
    settings = read_settings(config)
    (anchor,) = (demo.folder / "trust" / "anchors").iterdir()
    first = serve(config)
    try:
        wait_until_ready(settings.public_url, x509.load_pem_x509_certificate(anchor.read_bytes()))
        done = gongwen("hub", "serve", "--config", config, timeout=30)
        assert done.returncode == 6
        assert b"Traceback" not in done.stderr
        assert b"[internal]" not in done.stderr
    finally:
        first.terminate()
        assert first.wait(20) == 0


def test_operator_and_unit_do_their_day_by_the_command_line(tmp_path: Path) -> None:
    """init, serve, invite, enrol, seal, send, inbox, fetch, sign-for, verify: each as typed by a person."""
    units, public = free_ports(2)
    folder = tmp_path / "hub"
    done = gongwen(
        *("hub", "init", folder, "--origin", "hub.day.example", "--unit", code("11310000MB0000001")),
        *("--name", "市公文交换中心", "--host", "127.0.0.1"),
        *("--units-listen", f"127.0.0.1:{units}", "--public-listen", f"127.0.0.1:{public}"),
    )
    assert done.returncode == 0, done.stderr.decode()
    (anchor,) = (folder / "trust" / "anchors").iterdir()
    process = serve(folder / "hub.toml")
    try:
        wait_until_ready(f"https://127.0.0.1:{public}", x509.load_pem_x509_certificate(anchor.read_bytes()))
        homes = {}
        for first, name in (("11310000MB0000002", "市政府办公室"), ("11310000MB0000003", "市财政局")):
            invitation = tmp_path / f"{first}.json"
            done = gongwen(
                *("hub", "invite", code(first), "--name", name),
                *("--config", folder / "hub.toml", "-o", invitation),
            )
            assert done.returncode == 0, done.stderr.decode()
            secret = tmp_path / f"{first}.secret"
            secret.write_text("a long secret of this test\n")
            secret.chmod(0o600)
            homes[name] = ["--home", tmp_path / first, "--secret-file", secret]
            done = gongwen("unit", "enrol", "--invitation", invitation, *homes[name])
            assert done.returncode == 0, done.stderr.decode()
        office, finance = homes.values()
        from tests.end_to_end.hubs import plain_pdf

        (tmp_path / "通知.pdf").write_bytes(plain_pdf())
        sealed = tmp_path / "通知.sealed.pdf"
        assert gongwen("seal", tmp_path / "通知.pdf", "-o", sealed, *office).returncode == 0
        done = gongwen(
            *("unit", "send", sealed, "--to", code("11310000MB0000003"), "--title", "关于测试的通知"),
            *("--json", *office),
        )
        assert done.returncode == 0, done.stderr.decode()
        done = gongwen("unit", "inbox", "--json", *finance)
        assert done.returncode == 0, done.stderr.decode()
        identifiers = re.findall(r'"consignment_id": ?"([0-9a-f-]{36})"', done.stdout.decode())
        assert identifiers, done.stdout.decode()
        done = gongwen("unit", "fetch", identifiers[0], "-o", tmp_path / "in", *finance)
        assert done.returncode == 0, done.stderr.decode()
        done = gongwen("unit", "sign-for", identifiers[0], *finance)
        assert done.returncode == 0, done.stderr.decode()
        # Twice is a conflict, not a success and not a crash.
        assert (
            gongwen(
                "unit", "return", identifiers[0], "--reason", "other", "--text", "迟", *finance
            ).returncode
            == 6
        )
        trust = tmp_path / "11310000MB0000003" / "trust"
        done = gongwen("verify", tmp_path / "in", "--trust", trust)
        assert done.returncode == 0, done.stdout.decode()
        receipts = tmp_path / "11310000MB0000003" / "receipts"
        assert gongwen("verify", receipts, "--trust", trust).returncode == 0
        # The unit is found to have lost its keys: beside the running hub, in either spelling of the reason.
        lost = code("11310000MB0000002")
        for word, status in (("lost", 2), ("key-compromise", 0)):
            done = gongwen("hub", "revoke", lost, "--reason", word, "--config", folder / "hub.toml")
            assert done.returncode == status, done.stderr.decode()
        root = folder / "root-secret"
        done = gongwen("pki", "crl", "--config", folder / "hub.toml", "--root-secret-file", root, "--json")
        assert done.returncode == 0, done.stderr.decode()
        revoked = {one["authority"]: one["revoked"] for one in json.loads(done.stdout)}
        assert revoked == {"root": 0, "seals": 1, "evidence": 0, "tls": 1, "time": 0}
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert gongwen("unit", "whoami", *office).returncode == 7
