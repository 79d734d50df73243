"""``gongwen verify``: told by content, judged under a trust folder, said in one JSON shape."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest

from clients.__main__ import run
from clients.verify import Court, Kind, kind_of, verify_path
from pki.storage.trust import TrustFolder, read_trust_folder
from signing.report import Verdict
from tests.clients.fake_hub import ClientWorld
from tests.tools import need


def court(world: ClientWorld, **changes: object) -> Court:
    return Court(read_trust_folder(world.home(world.sender).path / "trust"), world.at, **changes)  # type: ignore[arg-type]


def signed(world: ClientWorld, content: bytes = b"a document") -> bytes:
    return world.home(world.sender).seal.sign(content, at=world.at)


def a_receipt(world: ClientWorld) -> Path:
    sent = world.client().send([world.document()], to=[world.recipient.unit], title="通知")
    assert sent.receipt.path is not None
    return sent.receipt.path


def test_a_signature_beside_its_file(world: ClientWorld) -> None:
    path = world.document("表.xlsx")
    path.with_name("表.xlsx.p7s").write_bytes(signed(world))
    report = verify_path(path.with_name("表.xlsx.p7s"), court(world))
    assert report.verdict is Verdict.VALID_WITH_REMARKS
    assert report.seals[0].unit == world.sender.unit
    assert verify_path(path, court(world)).verdict is Verdict.VALID_WITH_REMARKS, "found from the other side"


def test_the_name_does_not_matter(world: ClientWorld) -> None:
    path = world.document("picture.png", signed(world))
    content = world.document("elsewhere.bin", b"a document")
    assert verify_path(path, court(world), content=content).verdict is Verdict.VALID_WITH_REMARKS


def test_pem_armour_is_read(world: ClientWorld) -> None:
    body = base64.encodebytes(signed(world))
    path = world.document("a.txt.p7s", b"-----BEGIN CMS-----\n" + body + b"-----END CMS-----\n")
    world.document("a.txt")
    assert verify_path(path, court(world)).verdict is Verdict.VALID_WITH_REMARKS


def test_a_changed_content_is_not_valid(world: ClientWorld) -> None:
    path = world.document("a.txt.p7s", signed(world))
    world.document("a.txt", b"A document")
    report = verify_path(path, court(world))
    assert report.verdict is Verdict.NOT_VALID
    assert report.sub_indication == "HASH_FAILURE"


def test_without_its_content_a_signature_is_undecided(world: ClientWorld) -> None:
    report = verify_path(world.document("a.txt.p7s", signed(world)), court(world))
    assert report.verdict is Verdict.UNDECIDED
    assert "content-missing" in [one.code for one in report.findings]


def test_nobodys_trust_makes_every_seal_undecided(world: ClientWorld) -> None:
    from clients.verify import no_trust

    path = world.document("a.txt.p7s", signed(world))
    world.document("a.txt")
    assert verify_path(path, Court(no_trust(), world.at)).verdict is Verdict.UNDECIDED
    assert verify_path(a_receipt(world), Court(no_trust(), world.at)).verdict is Verdict.UNDECIDED


def test_at_an_instant_before_the_certificate(world: ClientWorld) -> None:
    path = world.document("a.txt.p7s", signed(world))
    world.document("a.txt")
    early = court(world, at=world.at - timedelta(days=365))
    assert verify_path(path, early).verdict in (Verdict.UNDECIDED, Verdict.NOT_VALID)


def test_a_receipt_is_known_by_its_content(world: ClientWorld) -> None:
    path = a_receipt(world)
    other = path.with_name("holiday.jpg")
    other.write_bytes(path.read_bytes())
    assert verify_path(other, court(world)).verdict in (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


def test_a_receipt_without_policy_is_undecided(world: ClientWorld) -> None:
    path = a_receipt(world)
    blind = Court(TrustFolder(court(world).trust.store, None), world.at)
    assert verify_path(path, blind).verdict is Verdict.UNDECIDED


def test_no_flipped_byte_of_a_receipt_is_good(world: ClientWorld) -> None:
    path = a_receipt(world)
    data = path.read_bytes()
    judge = court(world)
    good = {Verdict.VALID, Verdict.VALID_WITH_REMARKS}
    step = max(1, len(data) // 150)
    for place in range(0, len(data), step):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x20]) + data[place + 1 :])
        assert verify_path(path, judge).verdict not in good, place


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"%PDF-1.7", Kind.PDF),
        (b"\n\n junk %PDF-1.4", Kind.PDF),
        (b"PK\x03\x04" + bytes(26) + b"OFD.xml", Kind.OFD),
        (b"PK\x03\x04 something else", Kind.OTHER),
        (b"", Kind.OTHER),
        (b"hello", Kind.OTHER),
    ],
)
def test_kinds(head: bytes, kind: Kind) -> None:
    assert kind_of(head) is kind


def test_what_cannot_be_judged_is_undecided(world: ClientWorld) -> None:
    ofd = world.document("文.ofd", b"PK\x03\x04" + bytes(26) + b"OFD.xml")
    assert verify_path(ofd, court(world)).verdict is Verdict.UNDECIDED
    broken = world.document("broken.pdf", b"%PDF-1.7 nothing more")
    with Court(court(world).trust, world.at).pdfs as pdfs:
        judge = court(world, pdfs=pdfs)
        assert verify_path(broken, judge).verdict not in (Verdict.VALID, Verdict.VALID_WITH_REMARKS)


def test_a_folder_is_walked_whole(world: ClientWorld) -> None:
    from clients.verify import verify_folder

    root = world.path / "walk"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a.txt").write_bytes(b"a")
    (root / ".hidden").write_bytes(b"b")
    (root / "link").symlink_to(root / "deep")
    (root / "gone").symlink_to(root / "nowhere")
    found = {Path(one.file).name: one.verdict for one in verify_folder(root, court(world))}
    assert found == {
        ".hidden": Verdict.NO_SEAL,
        "a.txt": Verdict.NO_SEAL,
        "link": Verdict.UNDECIDED,
        "gone": Verdict.UNDECIDED,
    }


# --- the command


def verify(world: ClientWorld, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, object]:
    trust = str(world.home(world.sender).path / "trust")
    at = "2026-11-21T20:00:00Z"
    code = run(["verify", *arguments, "--trust", trust, "--at", at, "--json"])
    out, _err = capsys.readouterr()
    return code, json.loads(out)


def test_json_of_one_file_is_an_object_with_the_settled_keys(
    world: ClientWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_receipt(world)
    code, value = verify(world, capsys, str(path))
    assert code == 0
    assert isinstance(value, dict)
    assert list(value) == ["file", "verdict", "indication", "sub_indication", "seals", "findings"]
    assert value["file"] == str(path)
    assert value["indication"] == "TOTAL-PASSED"
    (seal,) = value["seals"]
    assert {"format", "verdict", "signer", "time", "time_source", "steps"} <= set(seal)
    assert {tuple(step) for step in seal["steps"]} == {("step", "result", "detail")}


def test_json_of_several_files_is_a_list_and_the_worst_decides(
    world: ClientWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bare = a_receipt(world), world.document("bare.txt", b"nothing")
    bad = world.document("bad.p7s", signed(world))
    content = world.document("bad", b"other")
    code, value = verify(world, capsys, str(good), str(bare))
    assert (code, [one["verdict"] for one in value]) == (3, ["valid", "no_seal"])  # type: ignore[attr-defined]
    code, value = verify(world, capsys, str(good), str(bad))
    assert (code, value[1]["verdict"]) == (3, "not_valid")  # type: ignore[index]
    content.unlink()
    code, value = verify(world, capsys, str(good), str(bad))
    assert (code, value[1]["verdict"]) == (5, "undecided")  # type: ignore[index]
    code, value = verify(world, capsys, str(bad.parent))
    assert isinstance(value, list)


def test_people_get_a_word_three_questions_and_a_next_step(
    world: ClientWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    path = world.document("a.txt.p7s", signed(world))
    world.document("a.txt", b"changed")
    trust = str(world.home(world.sender).path / "trust")
    assert run(["--lang", "zh", "verify", str(path), "--trust", trust]) == 3
    out = capsys.readouterr().out
    for words in ("无效", "请勿采信", "文件有没有被改过", "谁盖的章", "什么时候盖的", "下一步"):
        assert words in out
    assert "有效 " not in out


def test_a_sealed_file_is_good_before_us_and_before_openssl(
    world: ClientWorld, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import subprocess

    openssl = need("openssl")
    path = world.document("表.xlsx", b"rows")
    path.with_name("表.xlsx.p7s").write_bytes(signed(world, b"rows"))
    assert verify(world, capsys, str(path) + ".p7s")[0] == 0
    anchors = next((world.home(world.sender).path / "trust/anchors").iterdir())
    at = str(int(world.at.timestamp()))
    command = [
        openssl, "cms", "-verify", "-binary", "-cades", "-purpose", "any", "-inform", "DER", "-attime", at,
        "-in", f"{path}.p7s", "-content", str(path), "-CAfile", str(anchors), "-out", "/dev/null",
    ]  # fmt: skip
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
