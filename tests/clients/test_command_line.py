"""The command line: what it prints where, how it ends, and what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clients.__main__ import run
from tests.clients.fake_hub import SECRET, ClientWorld, answer, refuse_connection

HEAVY = ("pyhanko", "httpx2", "sqlalchemy", "aiohttp", "fpdf", "lxml", "pypdfium2")


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "GONGWEN_TRUST", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GONGWEN_UNIT_HOME", str(tmp_path / "no-home"))


@pytest.fixture
def at_hub(world: ClientWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ClientWorld:
    """Commands reach the hub in memory; ``--home`` says as whom."""

    def client(home, language=None):  # type: ignore[no-untyped-def]
        (member,) = (one for one in (world.sender, world.recipient) if one.unit == home.unit)
        return world.client(member)

    monkeypatch.setattr("clients.hub.Hub", client)
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    world.home(world.sender)
    world.home(world.recipient)
    return world


def as_unit(world: ClientWorld, who: str) -> list[str]:
    member = getattr(world, who)
    return ["--home", str(world.path / member.unit), "--secret-file", str(world.path / "secret")]


def send(world: ClientWorld, *more: str) -> list[str]:
    return [
        "unit", "send", str(world.document()), "--to", world.recipient.unit, "--title", "通知",
        *more, *as_unit(world, "sender"),
    ]  # fmt: skip


# --- what it loads


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["unit", "send", "--help"], ["verify", __file__, "--json"], ["unit", "whoami"]],
    ids=lambda value: value[0] + "-" + value[-1].rpartition("/")[2],
)
def test_a_command_loads_no_more_than_it_needs(arguments: list[str]) -> None:
    program = (
        "import sys, io\nfrom clients.__main__ import run\n"
        f"run({arguments!r})\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr


def test_verifying_a_signature_file_loads_no_pdf_library(world: ClientWorld) -> None:
    path = world.document("a.txt")
    path.with_name("a.txt.p7s").write_bytes(world.home(world.sender).seal.sign(b"a document", at=world.at))
    program = (
        "import sys\nfrom clients.__main__ import run\n"
        f"assert run(['verify', {str(path) + '.p7s'!r}, '--json']) == 5\n"
        "assert not [name for name in ('pyhanko', 'fpdf', 'httpx2') if name in sys.modules]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr


def test_without_the_hubs_libraries_its_commands_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "hub.toml").write_text("")
    for name in [name for name in sys.modules if name.startswith(("exchange.operator", "sqlalchemy"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert run(["hub", "doctor", "--config", str(tmp_path / "hub.toml")]) == 1
    assert "pip install 'gongwen[hub]'" in capsys.readouterr().err


# --- how it explains itself


def commands() -> list[list[str]]:
    import typer

    from clients.main import app

    found: list[list[str]] = []

    def walk(group, path):  # type: ignore[no-untyped-def]
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                walk(command, [*path, name])
            else:
                found.append([*path, name])

    walk(typer.main.get_command(app), [])
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_leads_its_help_with_examples(
    path: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1].strip() == "Examples:"
    assert lines[2].startswith("    gongwen ")


def test_the_language_is_that_of_the_locale_or_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("nothing")
    assert run(["--lang", "zh", "verify", str(path)]) == 3
    assert "未发现签章" in capsys.readouterr().out
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert run(["verify", str(path)]) == 3
    assert "未发现签章" in capsys.readouterr().out
    assert run(["--lang=en", "verify", str(path)]) == 3
    assert "No seal" in capsys.readouterr().out


# --- a unit's day


def test_a_units_day_in_json(at_hub: ClientWorld, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run([*send(at_hub, "--number", "府办发〔2026〕12号"), "--json"]) == 0
    sent = json.loads(capsys.readouterr().out)
    assert Path(sent["receipt"]).exists()
    consignment = sent["consignments"][0]["consignment_id"]

    assert run(["inbox", *as_unit(at_hub, "recipient"), "--json"]) == 0
    (view,) = json.loads(capsys.readouterr().out)
    assert view["consignment_id"] == consignment

    fetched = [
        "fetch",
        "府办发〔2026〕12号",
        "-o",
        str(tmp_path / "in"),
        *as_unit(at_hub, "recipient"),
        "--json",
    ]
    assert run(fetched) in (0, 5)
    answer_ = json.loads(capsys.readouterr().out)
    assert answer_["state"] == "HANDED_OVER"
    assert Path(answer_["documents"][0]["path"]).read_bytes() == b"a document"

    assert run(["unit", "sign-for", consignment[:13], *as_unit(at_hub, "recipient"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "SIGNED_FOR"

    assert run(["unit", "recall", sent["dispatch_id"], *as_unit(at_hub, "sender"), "--json"]) == 6
    (late,) = json.loads(capsys.readouterr().out)
    assert late["recalled"] is False

    assert run(["outbox", sent["dispatch_id"], *as_unit(at_hub, "sender"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "COMPLETED"


def test_a_units_day_for_people(at_hub: ClientWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(send(at_hub)) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "consignment\trecipient\trole"
    assert "Its receipt was verified" in err
    consignment = out.splitlines()[1].split("\t")[0]
    args = ["unit", "return", consignment, "--reason", "wrong-recipient", "--text", "应送丙局"]
    assert run([*args, *as_unit(at_hub, "recipient")]) == 0
    assert "Returned" in capsys.readouterr().err
    assert run(["unit", "outbox", *as_unit(at_hub, "sender")]) == 0
    assert "closed, not by all" in capsys.readouterr().out


def test_waiting_for_signatures_ends_with_eight(at_hub: ClientWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    ticks = iter(range(1000))
    monkeypatch.setattr(time, "sleep", lambda seconds: next(ticks))
    from datetime import datetime, timedelta

    import clients.commands.sending as sending

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):  # type: ignore[no-untyped-def, override]
            return at_hub.at + timedelta(hours=next(ticks))

    monkeypatch.setattr(sending, "datetime", Clock)
    assert run(send(at_hub, "--wait", "3h")) == 8


def test_titles_cannot_move_the_cursor(at_hub: ClientWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(send(at_hub)) == 0
    (sent,) = at_hub.hub.sent.values()
    object.__setattr__(sent.dispatch.metadata, "title", "通知\x1b[2J\u202e")
    capsys.readouterr()
    assert run(["inbox", *as_unit(at_hub, "recipient")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


# --- wrong input, and what it ends with

WRONG: list[tuple[list[str], int, str]] = [
    (["unit", "send"], 2, "usage"),
    (["unit", "frobnicate"], 2, "usage"),
    (["unit", "send", "NOFILE", "--to", "X", "--title", "T"], 2, "usage"),
    (["unit", "whoami"], 1, "home-unusable"),
    (["unit", "enrol", "--invitation", "NOFILE"], 2, "option-unfit"),
    (["verify"], 2, "usage"),
    (["verify", "NOFILE"], 2, "option-unfit"),
    (["verify", "FILE", "--at", "yesterday"], 2, "option-unfit"),
    (["verify", "FILE", "--policy", "lenient"], 2, "option-unfit"),
    (["verify", "FILE", "--trust", "NOFOLDER"], 1, "trust-folder-malformed"),
    (["verify", "FILE", "--content", "NOFILE"], 2, "usage"),
    (["seal", "NOFILE"], 2, "usage"),
    (["seal", "FILE", "--at", "0,1,1"], 2, "option-unfit"),
    (["ledger", "audit", "NOFOLDER", "--policy", "FILE"], 1, "policy-malformed"),
    (["ledger", "audit", "NOFOLDER", "--policy", "NOFILE"], 2, "option-unfit"),
    (["ledger", "prove", "what"], 2, "option-unfit"),
    (["ledger", "export", "DIR"], 2, "usage"),
    (["hub", "serve", "--config", "NOFILE"], 2, "usage"),
    (["hub", "init", "DIR", "--origin", "o", "--unit", "u", "--name", "n", "--units-listen", "x"], 2, "option-unfit"),
    (["bench"], 2, "usage"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    WRONG,
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_wrong_input_ends_with_its_code(
    arguments: list[str], code: int, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "FILE").write_text("nothing\n")
    swapped = [
        str(tmp_path / one) if one in ("FILE", "NOFILE", "NOFOLDER", "DIR") else one for one in arguments
    ]
    assert run(swapped) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip()
    if any(option in ("verify", "seal", "ledger", "bench", "unit") for option in arguments):
        assert run([*swapped, "--json"]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert json.loads(err)["code"] == name


UNIT_WRONG: list[tuple[list[str], int, str]] = [
    (["unit", "send", "DOC", "--to", "nobody", "--title", "T"], 1, "name-malformed"),
    (["unit", "send", "DOC", "--to", "UNIT", "--title", "T", "--due", "soon"], 2, "option-unfit"),
    (["unit", "send", "DOC", "--to", "UNIT", "--title", "T", "--due", "3d", "--expires", "1d"], 1, "envelope-malformed"),
    (["unit", "send", "DOC", "--to", "UNIT", "--title", "T", "--number", "12号"], 1, "envelope-malformed"),
    (["unit", "send", "DOC", "--to", "UNIT", "--title", "T", "--urgency", "急"], 1, "envelope-malformed"),
    (["unit", "send", "DOC", "--to", "UNIT", "--title", "T", "--meta", "colour=red"], 2, "option-unfit"),
    (["unit", "send", "EMPTY", "--to", "UNIT", "--title", "T"], 2, "option-unfit"),
    (["unit", "inbox", "0193"], 2, "name-ambiguous"),
    (["unit", "inbox", "--watch", "--json"], 2, "option-unfit"),
    (["unit", "outbox", "019324ab-7c21-7d03-9d3c-0c8a5e4b6f10"], 1, "not-found"),
    (["unit", "fetch", "019324ab-7c21-7d03-9d3c-0c8a5e4b6f10"], 1, "not-found"),
    (["unit", "sign-for", "019324ab-7c21-7d03-9d3c-0c8a5e4b6f10"], 1, "not-found"),
    (["unit", "return", "019324ab-7c21-7d03-9d3c-0c8a5e4b6f10", "--reason", "mood", "--text", "x"], 2, "option-unfit"),
    (["unit", "recall", "019324ab-7c21-7d03-9d3c-0c8a5e4b6f10", "--reason", "mood"], 2, "option-unfit"),
    (["unit", "receipt", "019324ab-7c21-7d03-9d3c-0c8a5e4b6f10"], 1, "not-found"),
    (["unit", "package", "019324ab-7c21-7d03-9d3c-0c8a5e4b6f10"], 1, "not-found"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    UNIT_WRONG,
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_wrong_input_of_a_unit_ends_with_its_code(
    arguments: list[str], code: int, name: str, at_hub: ClientWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "DOC": str(at_hub.document()),
        "EMPTY": str(at_hub.document("empty.txt", b"")),
        "UNIT": at_hub.recipient.unit,
    }
    swapped = [names.get(one, one) for one in arguments]
    more = [] if "--json" in arguments else ["--json"]
    assert run([*swapped, *as_unit(at_hub, "sender"), *more]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["code"] == name


def test_the_hubs_problem_is_told_in_three_lines_and_its_request(
    at_hub: ClientWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    at_hub.hub.refuse = ("classified", "a secrecy mark")
    assert run(send(at_hub)) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("[classified]")
    assert [line.split()[0] for line in lines[1:]] == ["why:", "try:", "request:"]


@pytest.mark.parametrize(
    ("status", "code"), [(401, 4), (403, 4), (404, 1), (409, 6), (429, 7), (500, 7), (503, 7)]
)
def test_the_hubs_refusals_have_exit_codes(at_hub: ClientWorld, status: int, code: int) -> None:
    at_hub.hub.faults += [answer(status)] * 4
    assert run(["unit", "whoami", *as_unit(at_hub, "sender")]) == code


def test_no_network_ends_with_seven(at_hub: ClientWorld) -> None:
    at_hub.hub.faults += [refuse_connection] * 4
    assert run(["unit", "whoami", *as_unit(at_hub, "sender")]) == 7


def test_a_receipt_that_does_not_hold_is_no_success(
    at_hub: ClientWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    at_hub.hub.tamper = lambda receipt: receipt[:400] + bytes([receipt[400] ^ 1]) + receipt[401:]
    assert run([*send(at_hub), "--json"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["code"] == "receipt-untrusted"


def test_interrupted_ends_with_130(at_hub: ClientWorld) -> None:
    def interrupt(request, handle):  # type: ignore[no-untyped-def]
        raise KeyboardInterrupt

    at_hub.hub.faults.append(interrupt)
    assert run(["unit", "whoami", *as_unit(at_hub, "sender")]) == 130


# --- secrets


def test_a_wrong_secret_is_not_allowed(at_hub: ClientWorld, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("another secret\n")
    home = str(at_hub.path / at_hub.sender.unit)
    assert run(["unit", "whoami", "--home", home, "--secret-file", str(tmp_path / "wrong")]) == 4


def test_no_secret_and_no_terminal(at_hub: ClientWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["unit", "whoami", "--home", str(at_hub.path / at_hub.sender.unit)]) == 4
    assert "[secret-missing]" in capsys.readouterr().err


def test_systemd_hands_the_secret_over(
    at_hub: ClientWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "gongwen-unit").write_bytes(SECRET)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert run(["unit", "whoami", "--home", str(at_hub.path / at_hub.sender.unit)]) == 0
