"""The key folder on a real file system."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pki.errors import KeyExists, KeyFileError, KeyFileMalformed, KeyNotFound, KeySecretWrong
from pki.keys import SoftwareSigner
from pki.storage.keys import KeyFolder

CHEAP = 2**4


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder.create(tmp_path / "keys", b"secret", n=CHEAP)


def test_key_is_found_again_by_whoever_knows_the_secret(folder: KeyFolder) -> None:
    signer = SoftwareSigner.generate()
    folder.add("seal", "unit-seal", signer)
    again = KeyFolder.open(folder.path, b"secret")
    assert again.load("seal").public_key == signer.public_key
    assert again.load("seal", purpose="unit-seal").public_key == signer.public_key
    assert again.names() == ("seal",)


def test_wrong_secret_does_not_open(folder: KeyFolder) -> None:
    with pytest.raises(KeySecretWrong):
        KeyFolder.open(folder.path, b"Secret")


def test_folder_and_files_are_for_their_owner_alone(folder: KeyFolder) -> None:
    folder.add("seal", "unit-seal", SoftwareSigner.generate())
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    for file in folder.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert sorted(file.name for file in folder.path.iterdir()) == ["kek.json", "seal.key"]


def test_folder_that_others_may_enter_does_not_open(folder: KeyFolder) -> None:
    folder.path.chmod(0o755)
    with pytest.raises(KeyFileMalformed):
        KeyFolder.open(folder.path, b"secret")


def test_key_is_never_overwritten(folder: KeyFolder) -> None:
    first = SoftwareSigner.generate()
    folder.add("seal", "unit-seal", first)
    with pytest.raises(KeyExists):
        folder.add("seal", "unit-seal", SoftwareSigner.generate())
    assert folder.load("seal").public_key == first.public_key
    assert len(list(folder.path.iterdir())) == 2


def test_folder_is_never_made_twice_nor_in_a_mistyped_place(folder: KeyFolder, tmp_path: Path) -> None:
    with pytest.raises(KeyExists):
        KeyFolder.create(folder.path, b"other", n=CHEAP)
    with pytest.raises(FileNotFoundError):
        KeyFolder.create(tmp_path / "kyes" / "keys", b"secret", n=CHEAP)
    KeyFolder.open(folder.path, b"secret")


def test_missing_key_is_named(folder: KeyFolder) -> None:
    with pytest.raises(KeyNotFound) as caught:
        folder.load("tls")
    assert caught.value.name == "tls"


def test_key_file_under_another_name_or_for_another_purpose_is_refused(folder: KeyFolder) -> None:
    folder.add("seal", "unit-seal", SoftwareSigner.generate())
    (folder.path / "tls.key").write_bytes((folder.path / "seal.key").read_bytes())
    with pytest.raises(KeyFileMalformed):
        folder.load("tls")
    with pytest.raises(KeyFileMalformed):
        folder.load("seal", purpose="tls-client")


def test_key_file_of_another_folder_does_not_open(folder: KeyFolder, tmp_path: Path) -> None:
    other = KeyFolder.create(tmp_path / "other", b"secret", n=CHEAP)
    other.add("seal", "unit-seal", SoftwareSigner.generate())
    (folder.path / "seal.key").write_bytes((other.path / "seal.key").read_bytes())
    with pytest.raises(KeySecretWrong):
        folder.load("seal")


def test_changed_parameters_do_not_open(folder: KeyFolder) -> None:
    file = folder.path / "kek.json"
    good = json.loads(file.read_text())
    for change in (
        {"n": 8},
        {"n": 2**40},
        {"n": "16"},
        {"salt": "AAAA"},
        {"proof": "!"},
        {"version": 2},
        {"kdf": "x"},
    ):
        file.write_text(json.dumps(good | change))
        with pytest.raises(KeyFileError):
            KeyFolder.open(folder.path, b"secret")
    for text in ("", "[]", "{", "null"):
        file.write_text(text)
        with pytest.raises(KeyFileMalformed):
            KeyFolder.open(folder.path, b"secret")


def test_folder_without_parameters_is_none(tmp_path: Path) -> None:
    with pytest.raises(KeyFileMalformed):
        KeyFolder.open(tmp_path, b"secret")
