"""The container: one spelling, and every changed byte is noticed."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from signing import container
from signing.container import (
    ASIC_S,
    EntrySource,
    check_entry_name,
    container_size,
    decode_container,
    encode_container,
    entry_chunks,
    read_container,
    stream_container,
    write_container,
)
from signing.errors import ContainerMalformed
from tests.tools import need

ENTRIES = (
    ("mimetype", ASIC_S),
    ("evidence.json", b'{"version":1}'),
    ("META-INF/signature.p7s", bytes(range(64))),
    ("documents/正文.pdf", b""),
)
GOOD = encode_container(ENTRIES)
UTF8 = {"LC_ALL": "C.UTF-8"}


def test_decoding_gives_the_entries_and_encoding_gives_the_bytes() -> None:
    assert decode_container(GOOD) == ENTRIES
    assert encode_container(decode_container(GOOD)) == GOOD


def test_the_bytes_are_those_of_the_first_release() -> None:
    # A receipt assembled again must be the same file, so the spelling never changes.
    assert encode_container([("mimetype", b"hello")]).hex() == (
        "504b03040a00000000000000210086a610360500000005000000080000006d696d657479706568656c6c6f504b"
        "01022d030a00000000000000210086a610360500000005000000080000000000000000000000a481000000006d"
        "696d6574797065504b05060000000001000100360000002b0000000000"
    )


def test_every_changed_byte_is_refused() -> None:
    for position in range(len(GOOD)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            changed = bytearray(GOOD)
            changed[position] ^= flip
            with pytest.raises(ContainerMalformed):
                decode_container(bytes(changed))


def test_every_shorter_file_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(ContainerMalformed):
            decode_container(GOOD[:length])


def test_a_changed_name_is_another_container() -> None:
    # In step in header and directory a name is somebody's consistent work; the caller sees another name.
    changed = GOOD.replace(b"evidence.json", b"evidencf.json")
    assert [name for name, _ in decode_container(changed)][1] == "evidencf.json"


def _with_python(build: Callable[[zipfile.ZipFile], None]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), ASIC_S)
        build(archive)
    return buffer.getvalue()


def _compressed(archive: zipfile.ZipFile) -> None:
    archive.writestr(zipfile.ZipInfo("a"), b"a" * 100, compress_type=zipfile.ZIP_DEFLATED)


def _commented(archive: zipfile.ZipFile) -> None:
    archive.comment = b"hello"


def _dated(archive: zipfile.ZipFile) -> None:
    archive.writestr(zipfile.ZipInfo("a", (2026, 11, 21, 20, 0, 0)), b"a")


def _extra(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("a")
    info.extra = struct.pack("<2HB", 0x5455, 1, 0)
    archive.writestr(info, b"a")


def _stray(archive: zipfile.ZipFile) -> None:
    archive.writestr(zipfile.ZipInfo("folder/"), b"")


@pytest.mark.parametrize(
    "build", [_compressed, _commented, _dated, _extra, _stray], ids=lambda build: build.__name__.strip("_")
)
def test_other_writers_spellings_are_refused(build: Callable[[zipfile.ZipFile], None]) -> None:
    with pytest.raises(ContainerMalformed):
        decode_container(_with_python(build))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"PK\x03\x04\x0a\x00\x00\x00", b"PK\x03\x04\x0a\x00\x01\x00", id="encrypted"),
        pytest.param(b"PK\x03\x04\x0a\x00\x00\x00", b"PK\x03\x04\x0a\x00\x08\x00", id="data-descriptor"),
        pytest.param(b"PK\x05\x06", b"gapPK\x05\x06", id="gap-before-the-end"),
        pytest.param(b"PK\x01\x02", b"\x00PK\x01\x02", id="gap-before-the-directory"),
        pytest.param(b"PK\x03\x04", b"\x00PK\x03\x04", id="bytes-in-front"),
    ],
)
def test_structural_defects_are_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(ContainerMalformed):
        decode_container(GOOD.replace(old, new, 1))


def test_bytes_behind_are_refused() -> None:
    with pytest.raises(ContainerMalformed):
        decode_container(GOOD + b"\x00")
    with pytest.raises(ContainerMalformed):
        decode_container(GOOD + GOOD)


def test_a_directory_that_tells_another_story_is_refused() -> None:
    other = encode_container([*ENTRIES[:1], ("evidence.json", b'{"version":2}'), *ENTRIES[2:]])
    start, end = GOOD.index(b"PK\x01\x02"), other.index(b"PK\x01\x02")
    with pytest.raises(ContainerMalformed):
        decode_container(GOOD[:start] + other[end:])


@pytest.mark.parametrize(
    "name",
    [
        "", "/etc/passwd", "../a", "a/../b", "a/./b", "a//b", "a/", ".", "..", "a\\b", "C:a", "a\nb",
        "a\x00b", "a\x7fb", "a\u0085b", "正文\u202efdp.exe", "\ud800", "a" * 1025,
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_or_deceive_are_refused(name: str) -> None:
    with pytest.raises(ContainerMalformed):
        check_entry_name(name)
    with pytest.raises(ContainerMalformed):
        encode_container([ENTRIES[0], (name, b"")])


@pytest.mark.parametrize(
    "name", ["正文.pdf", "documents/附件 1(终稿).pdf", "a..b", "...", "关于:通知.pdf", "é"]
)
def test_ordinary_names_are_kept(name: str) -> None:
    entries = (ENTRIES[0], (name, b"x"))
    assert decode_container(encode_container(entries)) == entries


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([], id="empty"),
        pytest.param(["a"], id="without-mimetype"),
        pytest.param(["a", "mimetype"], id="mimetype-second"),
        pytest.param(["mimetype", "a", "a"], id="twice"),
        pytest.param(["mimetype", "mimetype"], id="mimetype-twice"),
        pytest.param(["mimetype", "a/b/c", "a/b"], id="file-and-folder"),
    ],
)
def test_lists_of_names_that_no_container_has_are_refused(names: list[str]) -> None:
    with pytest.raises(ContainerMalformed):
        encode_container([(name, b"") for name in names])


def test_doubled_names_are_refused_on_reading_too() -> None:
    twins = encode_container([ENTRIES[0], ("aa", b""), ("ab", b"")]).replace(b"ab", b"aa")
    with pytest.raises(ContainerMalformed):
        decode_container(twins)


def test_caps_hold() -> None:
    assert decode_container(GOOD, max_entries=len(ENTRIES), max_size=len(GOOD)) == ENTRIES
    with pytest.raises(ContainerMalformed):
        decode_container(GOOD, max_entries=len(ENTRIES) - 1)
    with pytest.raises(ContainerMalformed):
        decode_container(GOOD, max_size=len(GOOD) - 1)


def test_a_stream_gives_the_same_bytes_and_announces_its_length() -> None:
    sources = [
        EntrySource(name, len(content), zlib.crc32(content), [content[:3], content[3:]])
        for name, content in ENTRIES
    ]
    assert b"".join(stream_container(sources)) == GOOD
    assert container_size(sources) == len(GOOD)
    file = io.BytesIO()
    write_container(file, sources)
    assert file.getvalue() == GOOD


@pytest.mark.parametrize("content", [b"short", b"much longer than told", b"otherbytes"])
def test_a_content_other_than_announced_stops_the_stream(content: bytes) -> None:
    told = EntrySource("a", 10, zlib.crc32(b"0123456789"), [content])
    first = EntrySource("mimetype", len(ASIC_S), zlib.crc32(ASIC_S), [ASIC_S])
    with pytest.raises(ContainerMalformed):
        list(stream_container([first, told]))


def test_a_file_is_read_without_its_contents() -> None:
    file = io.BytesIO(GOOD)
    entries = read_container(file)
    assert [entry.name for entry in entries] == [name for name, _ in ENTRIES]
    assert tuple((entry.name, b"".join(entry_chunks(file, entry, chunk=7))) for entry in entries) == ENTRIES


def test_a_changed_content_is_noticed_when_the_entry_is_read_from_a_file() -> None:
    entry = read_container(io.BytesIO(GOOD))[1]
    changed = bytearray(GOOD)
    changed[entry.offset] ^= 1
    file = io.BytesIO(changed)
    assert read_container(file)[1] == entry
    with pytest.raises(ContainerMalformed):
        list(entry_chunks(file, entry))


class _Sparse(io.RawIOBase):
    """A file of more than 4 GiB of which only the written ends exist."""

    def __init__(self, pieces: list[bytes | int]) -> None:
        self._pieces: list[tuple[int, bytes]] = []
        at = 0
        for piece in pieces:
            if isinstance(piece, bytes):
                self._pieces.append((at, piece))
                at += len(piece)
            else:
                at += piece
        self._size, self._at = at, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        data = bytearray(left if size < 0 else min(size, left))
        for start, piece in self._pieces:
            low, high = max(start, self._at), min(start + len(piece), self._at + len(data))
            if low < high:
                data[low - self._at : high - self._at] = piece[low - start : high - start]
        self._at += len(data)
        return bytes(data)


def _sparse(size: int) -> _Sparse:
    """A container whose second entry has ``size`` zero bytes, written by the module's own header writers."""
    mimetype = EntrySource("mimetype", len(ASIC_S), zlib.crc32(ASIC_S), ())
    sources = [
        mimetype,
        EntrySource("documents/大.bin", size, 0, ()),
        EntrySource("last", 1, zlib.crc32(b"x"), ()),
    ]
    placed, end = container._place(sources)
    headers = [container._local_header(one.name, one.size, one.crc) for one in placed]
    directory = container._directory(placed, end)
    return _Sparse([headers[0] + ASIC_S + headers[1], size, headers[2] + b"x" + directory])


@pytest.mark.parametrize("size", [0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 10 * 1024**3])
def test_contents_beyond_four_gigabytes_are_placed_and_found(size: int) -> None:
    found = read_container(_sparse(size))  # type: ignore[arg-type]
    assert [entry.size for entry in found] == [len(ASIC_S), size, 1]
    with zipfile.ZipFile(_sparse(size)) as archive:  # type: ignore[arg-type]
        assert [info.file_size for info in archive.infolist()] == [len(ASIC_S), size, 1]
        assert archive.read("last") == b"x"


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    path = tmp_path / "good.zip"
    path.write_bytes(GOOD)
    return path


def test_python_accepts_it(on_disk: Path) -> None:
    with zipfile.ZipFile(on_disk) as archive:
        assert archive.testzip() is None
        assert tuple((info.filename, archive.read(info)) for info in archive.infolist()) == ENTRIES
    subprocess.run([sys.executable, "-m", "zipfile", "-t", on_disk], check=True, capture_output=True)


def test_unzip_accepts_it(on_disk: Path) -> None:
    unzip = need("unzip")
    done = subprocess.run([unzip, "-t", on_disk], check=True, capture_output=True, text=True, env=UTF8)
    assert "No errors detected" in done.stdout
    read = subprocess.run([unzip, "-p", on_disk, "evidence.json"], check=True, capture_output=True)
    assert read.stdout == ENTRIES[1][1]


def test_unzip_writes_chinese_names_and_readable_files(on_disk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    subprocess.run([need("unzip"), "-q", on_disk, "-d", out], check=True, env=UTF8)
    names = {name for name, _ in ENTRIES}
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == names
    assert (out / "documents" / "正文.pdf").stat().st_mode & 0o400


def test_zipinfo_sees_stored_entries_of_1980_without_extra_fields(on_disk: Path) -> None:
    done = subprocess.run(
        [need("zipinfo"), "-v", on_disk], check=True, capture_output=True, text=True, env=UTF8
    )
    assert done.stdout.count("none (stored)") == len(ENTRIES)
    assert done.stdout.count("1980 Jan 1 00:00:00") == len(ENTRIES)
    assert done.stdout.count("length of extra field:                          0 bytes") == len(ENTRIES)
