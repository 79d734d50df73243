"""The auditor's side: a ledger from a folder and over HTTP, its copy, and one entry of it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from clients import auditor
from clients.__main__ import run
from clients.errors import OptionUnfit, ProofOfAnother
from exchange.ledger.audit import Outcome
from exchange.ledger.checkpoint import Checkpoint, sign_checkpoint
from exchange.ledger.errors import LedgerError, SourceUnreachable
from exchange.ledger.export import export_files
from exchange.ledger.policy import parse_policy
from exchange.protocol.receipt import decode_receipt, encode_receipt
from tests.clients.fake_hub import ORIGIN, ClientWorld


@pytest.fixture
def ledger(world: ClientWorld, tmp_path: Path) -> Path:
    """A ledger of 300 entries in a folder, with its policy beside it."""
    hub = world.hub
    while hub.tree.size < 300:
        entry = b"entry %d" % hub.tree.size
        from exchange.ledger.merkle import leaf_hash

        hub.entries.append(entry)
        hub.tree.extend([leaf_hash(entry)])
    note = sign_checkpoint(Checkpoint(ORIGIN, hub.tree.size, hub.tree.root), [hub.log])
    folder = tmp_path / "ledger"
    for path, data in export_files(hub.entries, parse_policy(hub.policy).check(note)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (tmp_path / "ledger.policy").write_bytes(hub.policy)
    return folder


def served(folder: Path) -> httpx2.MockTransport:
    def handle(request: httpx2.Request) -> httpx2.Response:
        path = folder / request.url.path.removeprefix("/ledger/")
        return httpx2.Response(200, content=path.read_bytes()) if path.is_file() else httpx2.Response(404)

    return httpx2.MockTransport(handle)


def over_http(world: ClientWorld, folder: Path) -> auditor.HttpSource:
    return auditor.HttpSource(
        "https://hub.test/ledger",
        parse_policy(world.hub.policy),
        tls=None,
        jitter=lambda: 0.0,
        transport=served(folder),
    )


def audit(ledger: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, object]]:
    code = run(
        ["ledger", "audit", str(ledger), "--policy", str(ledger.parent / "ledger.policy"), "--json", *more]
    )
    return code, json.loads(capsys.readouterr().out)


def test_a_good_ledger_is_proven(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, value = audit(ledger, capsys)
    assert code == 0
    assert value["outcome"] == "proven"
    assert value["entries"] == value["size"] == 300
    assert value["findings"] == []


def test_a_changed_entry_is_wrong(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = next(one for one in (ledger / "tile/entries").rglob("*") if one.is_file())
    data = bytearray(bundle.read_bytes())
    data[10] ^= 1
    bundle.write_bytes(data)
    code, value = audit(ledger, capsys)
    assert (code, value["outcome"]) == (3, "wrong")


def test_a_missing_tile_is_incomplete(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(one for one in (ledger / "tile/0").rglob("*") if one.is_file()).unlink()
    code, value = audit(ledger, capsys)
    assert (code, value["outcome"]) == (5, "incomplete")


def test_an_unknown_file_is_wrong(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ledger / "tile/readme").write_text("hello")
    assert audit(ledger, capsys)[0] == 3


def test_a_link_in_the_place_of_a_file_is_no_file(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tile = next(one for one in (ledger / "tile/0").rglob("*") if one.is_file())
    tile.rename(ledger.parent / "elsewhere")
    tile.symlink_to(ledger.parent / "elsewhere")
    assert audit(ledger, capsys)[0] == 5


def test_an_earlier_receipt_must_still_be_in_it(
    world: ClientWorld, ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = world.client().send([world.document()], to=[world.recipient.unit], title="通知")
    kept = sent.receipt.path
    assert kept is not None
    code, value = audit(ledger, capsys, "--earlier", str(kept))
    assert code == 3, "the receipt speaks of a larger ledger: this one was cut"
    assert [one["code"] for one in value["findings"]] == ["ledger-rollback"]  # type: ignore[attr-defined]


def test_over_http_the_same_ledger_holds(world: ClientWorld, ledger: Path) -> None:
    report = auditor.audit(over_http(world, ledger), parse_policy(world.hub.policy))
    assert report.outcome is Outcome.PROVEN
    assert report.entries == 300


def test_over_http_foreign_lines_on_the_checkpoint_are_taken_off(world: ClientWorld, ledger: Path) -> None:
    line = "\N{EM DASH} witness.test AAAAAGFiYw==\n"
    checkpoint = ledger / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes() + line.encode())
    policy = parse_policy(world.hub.policy)
    assert auditor.audit(over_http(world, ledger), policy).outcome is Outcome.PROVEN
    assert auditor.audit(auditor.FolderSource(ledger), policy).outcome is Outcome.WRONG


def test_an_unreachable_ledger_says_nothing_about_it(world: ClientWorld) -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    source = auditor.HttpSource(
        "https://hub.test/ledger",
        parse_policy(world.hub.policy),
        tls=None,
        jitter=lambda: 0.0,
        transport=httpx2.MockTransport(refuse),
    )
    source._driver._sleep = lambda seconds: None
    assert auditor.audit(source, parse_policy(world.hub.policy)).outcome is Outcome.UNREACHABLE


def test_a_copy_is_the_ledger_again(world: ClientWorld, ledger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    auditor.export(over_http(world, ledger), parse_policy(world.hub.policy), copy)
    assert {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()} == {
        p.relative_to(ledger): p.read_bytes() for p in ledger.rglob("*") if p.is_file()
    }


def test_a_copy_of_a_wrong_ledger_gets_no_checkpoint(
    world: ClientWorld, ledger: Path, tmp_path: Path
) -> None:
    bundle = next(one for one in (ledger / "tile/entries").rglob("*") if one.is_file())
    data = bytearray(bundle.read_bytes())
    data[10] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(LedgerError):
        auditor.export(auditor.FolderSource(ledger), parse_policy(world.hub.policy), tmp_path / "copy")
    assert not (tmp_path / "copy/checkpoint").exists()


def test_a_copy_goes_into_an_empty_folder_only(world: ClientWorld, ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/something").write_text("x")
    with pytest.raises(OptionUnfit):
        auditor.export(auditor.FolderSource(ledger), parse_policy(world.hub.policy), tmp_path / "full")


def test_a_source_without_a_checkpoint(world: ClientWorld, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceUnreachable):
        auditor.export(
            auditor.FolderSource(tmp_path / "empty"), parse_policy(world.hub.policy), tmp_path / "copy"
        )


def test_a_receipt_proves_its_entry(world: ClientWorld, capsys: pytest.CaptureFixture[str]) -> None:
    sent = world.client().send([world.document()], to=[world.recipient.unit], title="通知")
    home = world.home(world.sender).path
    arguments = [
        "--receipts",
        str(home / "receipts"),
        "--policy",
        str(home / "trust/ledger.policy"),
        "--json",
    ]
    assert run(["ledger", "prove", sent.answer.evidence_id, *arguments]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["index"] == 0
    assert value["kind"] == "evidence.submission_acceptance"
    assert run(["ledger", "prove", str(sent.receipt.path), *arguments]) == 0


def test_a_proof_of_another_statement_is_refused(world: ClientWorld) -> None:
    client = world.client()
    first = client.send([world.document()], to=[world.recipient.unit], title="一")
    second = client.send([world.document()], to=[world.recipient.unit], title="二")
    mixed = decode_receipt(first.receipt.raw)
    other = decode_receipt(second.receipt.raw)
    from dataclasses import replace

    with pytest.raises(ProofOfAnother):
        auditor.prove(encode_receipt(replace(mixed, proof=other.proof)), world.hub.policy)
