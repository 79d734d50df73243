"""The zip of our containers: one writer, one spelling (FORMATS §5, §6).

Holds the strict encoder and decoder of a stored, deterministic zip, in memory
and as a stream. It does not know which entries a receipt or a package has
(``exchange/protocol`` does), follows no name to a file, and reads no zip of
another writer: whatever the encoder would have spelt differently is refused.

    mimetype                       application/vnd.etsi.asic-s+zip
    evidence.json                  {"actor": ...}
    META-INF/signature.p7s         30 82 ...

Every entry is stored, dated 1980-01-01 00:00, without extra field or comment;
names are UTF-8, with flag bit 11 only where they are not ASCII. ``mimetype``
stands first. Zip64 structures appear where a size, an offset or the number of
entries needs them and nowhere else; they are the only extra fields there are.

The decoder takes the local headers one after the other, and then compares the
rest of the file with the directory that the encoder would write for them. So
there is one list of entries and no second opinion on it. (Readers that trust
the directory and readers that trust the local headers see the same.)

APPNOTE.TXT 6.3.10; ETSI EN 319 162-1 annex A for ``mimetype``.
"""

from __future__ import annotations

import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, Final

from signing.errors import ContainerMalformed

MIMETYPE: Final = "mimetype"
ASIC_S: Final = b"application/vnd.etsi.asic-s+zip"
ASIC_E: Final = b"application/vnd.etsi.asic-e+zip"

MAX_ENTRIES: Final = 1000
MAX_SIZE: Final = 64 * 1024 * 1024
_MAX_NAME = 1024
_CHUNK = 1024 * 1024

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")

_DATE = 0x0021  # 1980-01-01
_STORED = 10  # version needed: 1.0, nothing but storing
_ZIP64 = 45
# Version 4.5, host Unix: for host FAT Info-ZIP's unzip garbles names that are not
# ASCII, whatever bit 11 says. Host Unix in turn needs a mode: a plain file, rw-r--r--.
_MADE_BY = 3 << 8 | _ZIP64
_ATTRIBUTES = 0o100644 << 16
_UTF8 = 0x0800
_FULL32 = 0xFFFFFFFF
_FULL16 = 0xFFFF

_DRIVE = re.compile(r"[A-Za-z]:")
# Line and paragraph separators, and the characters that turn the direction of
# writing: with those a name can be made to show another ending than it has.
_DECEIVING = frozenset("\u2028\u2029\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a container: its name, where its content stands, and the content's CRC-32."""

    name: str
    offset: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class EntrySource:
    """An entry to be written: size and CRC-32 are known beforehand, the content comes in chunks."""

    name: str
    size: int
    crc: int
    chunks: Iterable[bytes]


def encode_container(entries: Sequence[tuple[str, bytes]]) -> bytes:
    """The container that holds these entries, in this order; the same entries give the same bytes.

    Raises:
        ContainerMalformed: a name is not one we write (see :func:`check_entry_name`),
            comes twice, or the first is not ``mimetype``.
    """
    sources = [EntrySource(name, len(content), zlib.crc32(content), (content,)) for name, content in entries]
    return b"".join(stream_container(sources))


def decode_container(
    data: bytes, *, max_entries: int = MAX_ENTRIES, max_size: int = MAX_SIZE
) -> tuple[tuple[str, bytes], ...]:
    """The entries of a container; ``encode_container`` gives back the same bytes.

    Anything else is refused: compressed, encrypted or doubled entries, names
    that lead elsewhere, other dates, comments, gaps, bytes before or behind.

    Raises:
        ContainerMalformed: the bytes are not such a container, or exceed a cap.
    """
    if len(data) > max_size:
        raise ContainerMalformed(f"it has {len(data)} bytes and {max_size} are allowed")
    view = _Bytes(data)
    found = _read(view, max_entries=max_entries)
    entries = tuple((entry.name, data[entry.offset : entry.offset + entry.size]) for entry in found)
    for entry, (name, content) in zip(found, entries, strict=True):
        if zlib.crc32(content) != entry.crc:
            raise ContainerMalformed(f"the content of {name!r} does not match its CRC-32")
    return entries


def stream_container(entries: Sequence[EntrySource]) -> Iterator[bytes]:
    """The container's bytes, chunk by chunk; nothing is kept in memory but the directory.

    The names are checked before the first byte is given. A content that turns
    out not to have the size and CRC-32 announced for it stops the stream with
    an error; what was given by then is no container.

    Raises:
        ContainerMalformed: as in :func:`encode_container`, or such a content.
    """
    _check_names([entry.name for entry in entries])
    return _stream(entries)


def container_size(entries: Sequence[EntrySource]) -> int:
    """How many bytes :func:`stream_container` will give; the contents are not touched."""
    placed, at = _place(entries)
    return at + len(_directory(placed, at))


def write_container(file: BinaryIO, entries: Sequence[EntrySource]) -> None:
    """Write the container to a file opened for writing; see :func:`stream_container`."""
    for chunk in stream_container(entries):
        file.write(chunk)


def read_container(
    file: BinaryIO, *, max_entries: int = MAX_ENTRIES, max_size: int | None = None
) -> tuple[Entry, ...]:
    """The entries of a container in a seekable file, without their contents.

    As strict as :func:`decode_container` in everything but the contents: these
    are not read, so their CRC-32 is not checked here. :func:`entry_chunks`
    does that, and whoever relies on a content compares its digest.

    Raises:
        ContainerMalformed: the file is not such a container, or exceeds a cap.
    """
    view = _File(file)
    if max_size is not None and view.size > max_size:
        raise ContainerMalformed(f"it has {view.size} bytes and {max_size} are allowed")
    return _read(view, max_entries=max_entries)


def entry_chunks(file: BinaryIO, entry: Entry, *, chunk: int = _CHUNK) -> Iterator[bytes]:
    """The content of one entry, chunk by chunk.

    Raises:
        ContainerMalformed: at the end, when the content does not match its
            CRC-32, or earlier when the file has grown shorter.
    """
    left, crc = entry.size, 0
    while left:
        file.seek(entry.offset + entry.size - left)
        piece = file.read(min(chunk, left))
        if not piece:
            raise ContainerMalformed(f"the file ends inside {entry.name!r}")
        left -= len(piece)
        crc = zlib.crc32(piece, crc)
        yield piece
    if crc != entry.crc:
        raise ContainerMalformed(f"the content of {entry.name!r} does not match its CRC-32")


# A hub writes the same few names into every receipt.
@lru_cache(maxsize=1024)
def check_entry_name(name: str) -> None:
    """The name may stand in a container.

    It is a relative path of non-empty parts, none of them ``.`` or ``..``,
    without backslash, drive letter, control characters or characters that turn
    the direction of writing, of at most 1024 bytes. We never write to such a
    path ourselves; the next person's unzip may.

    Raises:
        ContainerMalformed: it may not.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ContainerMalformed("a name is not Unicode text") from None
    if not 0 < len(encoded) <= _MAX_NAME:
        raise ContainerMalformed("a name is empty or too long")
    if any(part in ("", ".", "..") for part in name.split("/")) or _DRIVE.match(name):
        raise ContainerMalformed(f"the name {name!r} is not a plain relative path")
    if any(c == "\\" or c in _DECEIVING or unicodedata.category(c) == "Cc" for c in name):
        raise ContainerMalformed(f"the name {name!r} holds a character that names may not hold")


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        check_entry_name(name)
    if not names or names[0] != MIMETYPE:
        raise ContainerMalformed("the first entry is not 'mimetype'")
    seen = set(names)
    if len(seen) != len(names):
        raise ContainerMalformed("a name comes twice")
    for name in names:
        parent, slash, _ = name.rpartition("/")
        while slash:
            if parent in seen:
                raise ContainerMalformed(f"{parent!r} is a file and a folder at once")
            parent, slash, _ = parent.rpartition("/")


# --- writing: every header is spelt in one place, and reading compares with it


def _stream(entries: Sequence[EntrySource]) -> Iterator[bytes]:
    placed, end = _place(entries)
    for source, entry in zip(entries, placed, strict=True):
        yield _local_header(entry.name, entry.size, entry.crc)
        size = crc = 0
        for chunk in source.chunks:
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            if size > entry.size:
                break
            yield chunk
        if size != entry.size or crc != entry.crc:
            raise ContainerMalformed(f"the content of {entry.name!r} is not what was announced")
    yield _directory(placed, end)


def _place(sources: Sequence[EntrySource]) -> tuple[list[Entry], int]:
    """The entries with their offsets, and where the directory begins."""
    placed, at = [], 0
    for source in sources:
        at += len(_local_header(source.name, source.size, source.crc))
        placed.append(Entry(source.name, at, source.size, source.crc))
        at += source.size
    return placed, at


def _local_header(name: str, size: int, crc: int) -> bytes:
    encoded = name.encode()
    flags = 0 if name.isascii() else _UTF8
    if size < _FULL32:
        version, shown, extra = _STORED, size, b""
    else:
        version, shown, extra = _ZIP64, _FULL32, struct.pack("<2H2Q", 1, 16, size, size)
    fixed = _LOCAL.pack(
        b"PK\x03\x04", version, flags, 0, 0, _DATE, crc, shown, shown, len(encoded), len(extra)
    )
    return fixed + encoded + extra


def _directory(entries: Sequence[Entry], start: int) -> bytes:
    """The central directory and the end records that follow the last entry."""
    headers = b"".join(_central_header(entry) for entry in entries)
    count, size = len(entries), len(headers)
    ends = b""
    if count >= _FULL16 or size >= _FULL32 or start >= _FULL32:
        ends = _END64.pack(b"PK\x06\x06", 44, _MADE_BY, _ZIP64, 0, 0, count, count, size, start)
        ends += _LOCATOR.pack(b"PK\x06\x07", 0, start + size, 1)
    shown = min(count, _FULL16)
    ends += _END.pack(b"PK\x05\x06", 0, 0, shown, shown, min(size, _FULL32), min(start, _FULL32), 0)
    return headers + ends


def _central_header(entry: Entry) -> bytes:
    encoded = entry.name.encode()
    flags = 0 if entry.name.isascii() else _UTF8
    local = entry.offset - len(_local_header(entry.name, entry.size, entry.crc))
    wide = [entry.size] * 2 if entry.size >= _FULL32 else []
    if local >= _FULL32:
        wide.append(local)
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    shown = min(entry.size, _FULL32)
    fixed = _CENTRAL.pack(
        b"PK\x01\x02", _MADE_BY, _ZIP64 if wide else _STORED, flags, 0, 0, _DATE, entry.crc, shown, shown,
        len(encoded), len(extra), 0, 0, 0, _ATTRIBUTES, min(local, _FULL32),
    )  # fmt: skip
    return fixed + encoded + extra


# --- reading


class _Bytes:
    """Bytes in memory, read at an offset."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class _File:
    """A seekable file, read at an offset."""

    __slots__ = ("_file", "size")

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    def at(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        pieces, left = [], length
        while left and (piece := self._file.read(left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _read(view: _Bytes | _File, *, max_entries: int) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    at = 0
    while view.at(at, 4) == b"PK\x03\x04":
        if len(entries) >= max_entries:
            raise ContainerMalformed(f"it has more than {max_entries} entries")
        entry = _read_local(view, at)
        entries.append(entry)
        at = entry.offset + entry.size
    _check_names([entry.name for entry in entries])
    expected = _directory(entries, at)
    if view.size - at != len(expected) or view.at(at, len(expected)) != expected:
        raise ContainerMalformed(f"from offset {at} on it is not the directory of its entries")
    return tuple(entries)


def _read_local(view: _Bytes | _File, at: int) -> Entry:
    """The entry whose local header begins at ``at``; the header is spelt as we spell it."""
    fixed = view.at(at, _LOCAL.size)
    if len(fixed) != _LOCAL.size:
        raise ContainerMalformed(f"it ends inside the header at offset {at}")
    _, _, _, _, _, _, crc, size, _, name_length, extra_length = _LOCAL.unpack(fixed)
    if name_length > _MAX_NAME or extra_length not in (0, 20):
        raise ContainerMalformed(f"the header at offset {at} has a field of a length we do not write")
    rest = view.at(at + _LOCAL.size, name_length + extra_length)
    if extra_length and len(rest) == name_length + extra_length:
        size = int.from_bytes(rest[-16:-8], "little")
    try:
        name = rest[:name_length].decode()
    except UnicodeDecodeError:
        raise ContainerMalformed(f"the name at offset {at} is not UTF-8") from None
    if fixed + rest != _local_header(name, size, crc):
        raise ContainerMalformed(f"the header at offset {at} is not spelt as we spell it")
    offset = at + len(fixed) + len(rest)
    if offset + size > view.size:
        raise ContainerMalformed(f"it ends inside {name!r}")
    return Entry(name, offset, size, crc)
