"""The demo's ledger before Go's own sumdb code and before ours; and every way to spoil it."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import auditor as ours
from exchange.ledger.audit import AuditReport, Outcome
from exchange.ledger.policy import Policy, parse_policy
from tests.conftest import Demo
from tests.end_to_end.hubs import gongwen
from tests.interop.test_go_auditor import auditor, run

__all__ = ["auditor"]


@pytest.fixture(scope="module")
def policy(demo: Demo) -> Policy:
    return parse_policy((demo.folder / "trust" / "ledger.policy").read_bytes())


def log_key(demo: Demo) -> str:
    lines = (demo.folder / "trust" / "ledger.policy").read_text().splitlines()
    (key,) = [line.split()[1] for line in lines if line.startswith("log ")]
    return key


def test_go_proves_the_demos_ledger(auditor: Path, demo: Demo) -> None:
    done = run(auditor, "audit", demo.folder / "ledger", log_key(demo))
    assert done.returncode == 0, done.stderr
    entries, files = len(demo.files("receipts")), len(demo.files("ledger"))
    assert done.stdout.decode() == f"ok {entries} entries, {files} files\n"


def test_go_checks_the_proof_in_every_receipt(auditor: Path, demo: Demo, tmp_path: Path) -> None:
    seen = set()
    for file in demo.files("receipts"):
        with zipfile.ZipFile(file) as opened:
            proof = opened.read("META-INF/ledger.tlog-proof")
        (extra,) = [line for line in proof.decode().splitlines() if line.startswith("extra ")]
        carried = json.loads(base64.b64decode(extra.removeprefix("extra ")))
        (tmp_path / "entry").write_bytes(entry := base64.b64decode(carried["entry"]))
        (tmp_path / "proof").write_bytes(proof)
        done = run(auditor, "proof", tmp_path / "proof", tmp_path / "entry", log_key(demo))
        assert done.returncode == 0, done.stderr
        seen.add(int(done.stdout.split()[2]))
        (tmp_path / "entry").write_bytes(entry + b" ")
        assert run(auditor, "proof", tmp_path / "proof", tmp_path / "entry", log_key(demo)).returncode == 1
    assert seen == set(range(len(demo.files("receipts"))))


def test_ledger_says_nothing_of_what_was_sent(demo: Demo) -> None:
    """Entries are public: neither titles nor units nor ids stand in them in clear."""
    ledger = b"".join(file.read_bytes() for file in demo.files("ledger"))
    for file in demo.files("receipts"):
        with zipfile.ZipFile(file) as opened:
            evidence = json.loads(opened.read("evidence.json"))
        for key in ("sender", "recipient", "dispatch_id", "consignment_id", "issued_number", "dispatch"):
            value = evidence.get(key)
            assert value is None or value.encode() not in ledger, key


def test_command_line_audits_it(demo: Demo) -> None:
    done = gongwen(
        *("ledger", "audit", demo.folder / "ledger", "--json"),
        *("--policy", demo.folder / "trust" / "ledger.policy"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "proven"


def audit(folder: Path, policy: Policy) -> AuditReport:
    return ours.audit(ours.FolderSource(folder), policy)


def spoilt(folder: Path) -> Iterator[str]:
    """Spoil the folder in one way after the other; after each it is made whole again."""
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        data = file.read_bytes()
        name = file.relative_to(folder).as_posix()
        for place in range(len(data)):
            for kind, changed in (("byte", data[place] ^ 0xFF), ("bit", data[place] ^ (1 << place % 8))):
                file.write_bytes(data[:place] + bytes([changed]) + data[place + 1 :])
                yield f"{kind} {place} of {name}"
        for cut in {0, 1, len(data) // 2, len(data) - 1}:
            file.write_bytes(data[:cut])
            yield f"{name} cut at {cut}"
        file.write_bytes(data + data[-1:])
        yield f"{name} longer"
        file.unlink()
        yield f"{name} removed"
        file.mkdir()
        yield f"{name} is a folder"
        file.rmdir()
        file.symlink_to("/dev/null")
        yield f"{name} is a link"
        file.unlink()
        file.write_bytes(data)
        for beside in (file.with_name(file.name + "x"), file.with_name("." + file.name)):
            beside.write_bytes(data)
            yield f"{beside.name} beside {name}"
            beside.unlink()


def test_every_byte_and_every_file_of_the_ledger_counts(demo: Demo, policy: Policy, tmp_path: Path) -> None:
    """FORMATS §8: 3 when something is proven wrong, 5 when something is missing; never 0, never a crash."""
    folder = tmp_path / "ledger"
    shutil.copytree(demo.folder / "ledger", folder)
    outcomes = set()
    count = 0
    for what in spoilt(folder):
        outcome = audit(folder, policy).outcome
        assert outcome in (Outcome.WRONG, Outcome.INCOMPLETE), (what, outcome)
        outcomes.add(outcome)
        count += 1
    assert outcomes == {Outcome.WRONG, Outcome.INCOMPLETE}
    assert count > 1000
    assert audit(folder, policy).outcome is Outcome.PROVEN


SPOILT = {"flipped": 3, "truncated": 3, "added": 3, "removed": 5}


@pytest.mark.parametrize("how", SPOILT)
def test_command_line_ends_with_the_code_for_it(demo: Demo, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "ledger"
    shutil.copytree(demo.folder / "ledger", folder)
    (bundle,) = [one for one in (folder / "tile" / "entries").rglob("*") if one.is_file()]
    data = bundle.read_bytes()
    if how == "removed":
        bundle.unlink()
    elif how == "added":
        bundle.with_name("1").write_bytes(data)
    else:
        bundle.write_bytes(data[:-1] if how == "truncated" else data[:50] + bytes([data[50] ^ 1]) + data[51:])
    policy = demo.folder / "trust" / "ledger.policy"
    done = gongwen("ledger", "audit", folder, "--policy", policy)
    assert done.returncode == SPOILT[how], done.stdout.decode() + done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_ledger_of_another_policy_is_not_proven(demo: Demo, tmp_path: Path) -> None:
    key = log_key(demo)
    other = tmp_path / "other.policy"
    swapped = key[:-2] + ("A" if key[-2] != "A" else "B") + key[-1]
    text = (demo.folder / "trust" / "ledger.policy").read_text()
    other.write_text(text.replace(key, swapped))
    done = gongwen("ledger", "audit", demo.folder / "ledger", "--policy", other)
    assert done.returncode != 0
    assert b"[internal]" not in done.stderr
