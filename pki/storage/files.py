"""Files that are there whole or not at all, also after the power failed.

Written beside their place, synchronised, moved into place, and the folder
synchronised as well: without the last step the name may be gone although the
bytes are safe. POSIX only.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_durably(path: Path, content: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write a file with exactly this mode; durable and complete on return.

    With ``replace=False`` an existing file is never touched, not even by a race.

    Raises:
        FileExistsError: it exists and ``replace`` is false.
        OSError: as the system says; nothing is left half-written under this name.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Not left to the umask: a mode too wide is a leak, one too narrow a riddle.
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            beside.replace(path)
        else:
            # link() fails if the name is taken; a check beforehand could be overtaken.
            path.hardlink_to(beside)
            beside.unlink()
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(path: Path) -> None:
    """Make a folder with mode 0700; its parent must be there.

    Raises:
        FileExistsError: there is something of that name.
        FileNotFoundError: the parent is missing; nothing durable springs from a mistyped path.
    """
    path.mkdir(mode=0o700)
    path.chmod(0o700)
    sync_folder(path.parent)
