"""Files of a unit: written whole or not at all, hashed in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from exchange.protocol.identifiers import Digest
from pki.storage.files import sync_folder, write_durably

__all__ = ["digest_file", "sync_folder", "write_atomically", "write_privately"]

CHUNK = 1024 * 1024


def write_atomically(path: Path, data: bytes) -> None:
    """Put the file there whole, making its folder if need be; durable on return."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, data)


def digest_file(path: Path, *, told: Callable[[int], None] | None = None) -> Digest:
    """SHA-256 of a file of any size, in bounded memory."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
            if told is not None:
                told(len(chunk))
    return Digest("sha256:" + state.hexdigest())


def write_privately(path: Path, data: bytes) -> None:
    """Put a file there whole that only its owner may read; never over another. Durable on return."""
    write_durably(path, data, mode=0o600, replace=False)
