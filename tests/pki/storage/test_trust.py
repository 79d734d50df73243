"""Trust folders: read whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.errors import PathNotFound, TrustFolderMalformed
from pki.path import HUB_EVIDENCE, UNIT_SEAL, check_path
from pki.storage.trust import read_trust_folder, write_trust_folder
from tests.worlds.pki import NOW, PkiWorld


@pytest.fixture(scope="module")
def world() -> PkiWorld:
    return PkiWorld()


@pytest.fixture
def folder(world: PkiWorld, tmp_path: Path) -> Path:
    path = tmp_path / "trust"
    write_trust_folder(
        path,
        anchors=[world.root.certificate],
        intermediates=[one.certificate for one in world.certifiers[1:]],
        crls=world.crls(),
        ledger_policy=b"log x\n",
    )
    return path


def test_folder_holds_what_was_written(world: PkiWorld, folder: Path) -> None:
    read = read_trust_folder(folder)
    assert read.ledger_policy == b"log x\n"
    assert read.store.anchors_for(None).certificates == (world.root.certificate,)
    assert len(read.store.intermediates) == 4
    unit = world.unit()
    check_path(unit.seal.certificate, others=[], trust=read.store, purpose=UNIT_SEAL, at=NOW)


def test_newer_list_takes_the_place_of_the_older(world: PkiWorld, folder: Path) -> None:
    newer = world.crls()
    write_trust_folder(folder, anchors=[world.root.certificate], crls=newer)
    assert set(read_trust_folder(folder).store.revocations.all()) == set(newer)


def test_pem_and_der_under_any_name_and_several_in_one_file(world: PkiWorld, folder: Path) -> None:
    for file in (folder / "crls").iterdir():
        file.unlink()
    lists = world.crls()
    several = b"".join(x509.load_der_x509_crl(one.der).public_bytes(Encoding.PEM) for one in lists[1:])
    (folder / "crls" / "其余 (1).TXT").write_bytes(several)
    (folder / "crls" / "root").write_bytes(lists[0].der)
    (folder / "intermediates" / "der.cer").write_bytes(world.tls.certificate.public_bytes(Encoding.DER))
    (folder / "crls" / ".gitkeep").write_bytes(b"")
    (folder / "README.md").write_text("whom we trust")
    assert set(read_trust_folder(folder).store.revocations.all()) == set(lists)


def test_anchor_in_a_subfolder_serves_its_purpose_alone(world: PkiWorld, tmp_path: Path) -> None:
    write_trust_folder(
        tmp_path / "trust",
        anchors=[],
        evidence=[world.root.certificate],
        intermediates=[world.seals.certificate, world.evidence.certificate],
        crls=world.crls(),
    )
    store = read_trust_folder(tmp_path / "trust").store
    unit, hub = world.unit(), world.hub()
    check_path(hub.seal.certificate, others=[], trust=store, purpose=HUB_EVIDENCE, at=NOW)
    with pytest.raises(PathNotFound):
        check_path(unit.seal.certificate, others=[], trust=store, purpose=UNIT_SEAL, at=NOW)


@pytest.mark.parametrize(
    "place",
    ["anchors/junk.pem", "anchors/seals/junk", "intermediates/junk.crt", "crls/junk.crl"],
)
@pytest.mark.parametrize("content", [b"", b"junk", b"\x30\x03abc", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_junk_is_named_and_nothing_is_read(folder: Path, place: str, content: bytes) -> None:
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(content)
    with pytest.raises(TrustFolderMalformed) as caught:
        read_trust_folder(folder)
    assert caught.value.file == str(folder / place)


def test_certificate_among_the_lists_is_refused(world: PkiWorld, folder: Path) -> None:
    (folder / "crls" / "root.pem").write_bytes(world.root.certificate.public_bytes(Encoding.PEM))
    with pytest.raises(TrustFolderMalformed):
        read_trust_folder(folder)


@pytest.mark.parametrize("place", ["anchor", "crl", "anchors/hub", "crls/old"])
def test_folder_that_has_no_place_is_refused(folder: Path, place: str) -> None:
    """``anchors/hub/`` is somebody's mistake, and its anchors would be missed in silence."""
    (folder / place).mkdir()
    with pytest.raises(TrustFolderMalformed):
        read_trust_folder(folder)


def test_missing_anchors_are_an_error_and_other_parts_may_be_missing(world: PkiWorld, tmp_path: Path) -> None:
    with pytest.raises(TrustFolderMalformed):
        read_trust_folder(tmp_path)
    with pytest.raises(TrustFolderMalformed):
        read_trust_folder(tmp_path / "nowhere")
    (tmp_path / "anchors").mkdir()
    read = read_trust_folder(tmp_path)
    assert read.ledger_policy is None
    assert not read.store.anchors_for(None)


def test_oversized_files_are_refused(folder: Path) -> None:
    (folder / "ledger.policy").write_bytes(b"x" * (64 * 1024 + 1))
    with pytest.raises(TrustFolderMalformed) as caught:
        read_trust_folder(folder)
    assert "ledger.policy" in caught.value.file


def test_folder_is_not_written_into_a_mistyped_place(world: PkiWorld, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_trust_folder(tmp_path / "no" / "trust", anchors=[world.root.certificate])
