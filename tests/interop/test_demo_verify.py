"""``gongwen verify`` over what the demo made: all of it holds, and no byte of it can be changed unseen."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.exits import OF_VERDICT, Exit
from clients.pdf import PdfJudge
from clients.verify import Court, verify_path
from pki.storage.trust import read_trust_folder
from signing.container import decode_container, encode_container
from signing.errors import ContainerMalformed
from signing.report import Verdict
from tests.conftest import Demo
from tests.end_to_end.hubs import gongwen

SEED = 20261121
POSITIONS = {"receipts": 2000, "documents": 400, "dispatches": 600}
"""How many positions of each part are changed, one at a time."""
ENTRIES = {"receipts": 1200, "dispatches": 300}
"""The same inside the containers, under checksums that were made right again."""


def test_command_line_finds_everything_valid(demo: Demo) -> None:
    parts = [demo.folder / one for one in ("documents", "receipts", "dispatches")]
    done = gongwen("verify", *parts, "--trust", demo.folder / "trust", "--json")
    assert done.returncode == 0, done.stdout.decode()
    reports = json.loads(done.stdout)
    assert len(reports) == sum(len(demo.files(one.name)) for one in parts)
    assert {one["verdict"] for one in reports} <= {"valid", "valid_with_remarks"}


def test_without_trust_nothing_is_decided(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "GONGWEN_UNIT_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("GONGWEN_TRUST", raising=False)
    done = gongwen("verify", demo.folder / "receipts", demo.folder / "documents", "--json")
    assert done.returncode == 5
    assert {one["verdict"] for one in json.loads(done.stdout)} == {"undecided"}


@pytest.fixture(scope="module")
def court(demo: Demo) -> Iterator[Court]:
    with PdfJudge() as pdfs:
        yield Court(read_trust_folder(demo.folder / "trust"), datetime.now(UTC), None, pdfs)


def test_every_file_holds(demo: Demo, court: Court) -> None:
    for part in POSITIONS:
        for file in demo.files(part):
            assert OF_VERDICT[verify_path(file, court).verdict] is Exit.DONE, file


@pytest.mark.parametrize("part", POSITIONS)
def test_changed_byte_is_never_valid(demo: Demo, court: Court, tmp_path: Path, part: str) -> None:
    """FORMATS §7: a changed byte makes 3 or 5, never 0."""
    chance = random.Random(SEED)
    files = [(file, file.read_bytes()) for file in demo.files(part)]
    verdicts: Counter[Verdict] = Counter()
    for number in range(POSITIONS[part]):
        file, data = files[number % len(files)]
        place = chance.randrange(len(data))
        mask = chance.choice([1 << chance.randrange(8), chance.randrange(1, 256)])
        changed = tmp_path / file.name
        changed.write_bytes(data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :])
        report = verify_path(changed, court)
        code = OF_VERDICT[report.verdict]
        assert code in (Exit.NOT_VALID, Exit.UNDECIDED), (file.name, place, mask, report)
        verdicts[report.verdict] += 1
    assert verdicts.total() == POSITIONS[part]
    assert verdicts[Verdict.NOT_VALID] > POSITIONS[part] // 2


@pytest.mark.parametrize("part", ENTRIES)
def test_changed_byte_under_a_right_checksum_is_never_valid(
    demo: Demo, court: Court, tmp_path: Path, part: str
) -> None:
    """The zip's own checksums protect against accidents only; whoever means it makes them anew."""
    chance = random.Random(SEED)
    files = [(file.name, decode_container(file.read_bytes())) for file in demo.files(part)]
    verdicts: Counter[Verdict] = Counter()
    for number in range(ENTRIES[part]):
        name, whole = files[number % len(files)]
        entries = list(whole)
        # Each entry as often as any other, however small: the long ones would hide the rest.
        which = chance.randrange(len(entries))
        inside, data = entries[which]
        place = chance.randrange(len(data))
        mask = 1 << chance.randrange(8)
        entries[which] = (inside, data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :])
        changed = tmp_path / name
        changed.write_bytes(encode_container(entries))
        report = verify_path(changed, court)
        code = OF_VERDICT[report.verdict]
        assert code in (Exit.NOT_VALID, Exit.UNDECIDED), (name, inside, place, mask, report)
        verdicts[report.verdict] += 1
    assert verdicts.total() == ENTRIES[part]
    assert verdicts[Verdict.NOT_VALID] > ENTRIES[part] // 2


@pytest.mark.parametrize("part", ENTRIES)
def test_missing_swapped_or_added_entry_is_never_valid(
    demo: Demo, court: Court, tmp_path: Path, part: str
) -> None:
    for file in demo.files(part)[:2]:
        whole = list(decode_container(file.read_bytes()))
        # Revocation lists are signed themselves and need no commitment (FORMATS §5): the trust folder's do too.
        needed = [one for one in whole if not one[0].startswith("META-INF/revocation/")]
        variants = [[one for one in whole if one is not gone] for gone in needed]
        variants += [
            [*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]] for at in range(len(whole) - 1)
        ]
        variants += [[*whole, ("more", b"more")], [*whole[:-1], ("META-INF/more", b"more"), whole[-1]]]
        for number, entries in enumerate(variants):
            changed = tmp_path / file.name
            try:
                changed.write_bytes(encode_container(entries))
            except ContainerMalformed:
                continue
            verdict = verify_path(changed, court).verdict
            assert OF_VERDICT[verdict] is not Exit.DONE, (file.name, number, [one[0] for one in entries])


@pytest.mark.parametrize("part", POSITIONS)
def test_cut_or_lengthened_file_is_never_valid(demo: Demo, court: Court, tmp_path: Path, part: str) -> None:
    for file in demo.files(part)[:3]:
        data = file.read_bytes()
        changed = tmp_path / file.name
        for size in (0, 1, 100, len(data) // 2, len(data) - 1):
            changed.write_bytes(data[:size])
            assert OF_VERDICT[verify_path(changed, court).verdict] is not Exit.DONE, (file.name, size)
        for more in (b"\0", b"\n", b"%%EOF\n", data):
            changed.write_bytes(data + more)
            assert OF_VERDICT[verify_path(changed, court).verdict] is not Exit.DONE, (file.name, more[:9])
            changed.write_bytes(more + data)
            assert OF_VERDICT[verify_path(changed, court).verdict] is not Exit.DONE, (file.name, more[:9])


def test_receipt_of_another_evidence_is_not_valid(demo: Demo, court: Court, tmp_path: Path) -> None:
    """Parts of two good receipts make no good one."""
    from dataclasses import replace

    from exchange.protocol.receipt import decode_receipt, encode_receipt

    first, second = (decode_receipt(file.read_bytes()) for file in demo.files("receipts")[:2])
    for part in ("evidence", "signature", "proof"):
        mixed = replace(first, **{part: getattr(second, part)})
        file = tmp_path / f"{part}.receipt.asics"
        file.write_bytes(encode_receipt(mixed))
        assert verify_path(file, court).verdict is Verdict.NOT_VALID, part
