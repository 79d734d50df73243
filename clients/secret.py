"""Where the secret that opens a unit's keys comes from.

From a file, from systemd's credentials, or from the person at the terminal; never
from a flag's value or an environment variable, which other users of the machine and
every child process can read.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path

from clients.errors import SecretMissing

CREDENTIAL = "gongwen-unit"
MAX_SECRET = 4096
MIN_SECRET = 8


def read_secret(
    file: Path | None, *, environ: Mapping[str, str], prompt: str | None, confirm: str | None = None
) -> bytes:
    """The secret: of the named file, else of systemd, else of the terminal.

    One newline at the end of a file is not part of it. With ``confirm`` the person
    types it twice (for new keys).

    Raises:
        SecretMissing: none of the three has one, or it is too short or too long.
    """
    if file is None and (folder := environ.get("CREDENTIALS_DIRECTORY")):
        candidate = Path(folder) / CREDENTIAL
        file = candidate if candidate.is_file() else None
    if file is not None:
        try:
            with file.open("rb") as opened:
                secret = opened.read(MAX_SECRET + 2)
        except OSError as error:
            raise SecretMissing(detail=f"{file}: {error.strerror}") from None
        return _checked(secret.removesuffix(b"\n").removesuffix(b"\r"))
    if prompt is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SecretMissing(
            detail=f"neither --secret-file nor the systemd credential {CREDENTIAL}, and no terminal to ask"
        )
    typed = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
    if confirm is not None and getpass.getpass(f"{confirm}: ", stream=sys.stderr) != typed:
        raise SecretMissing(detail="the two entries differ")
    return _checked(typed.encode())


def _checked(secret: bytes) -> bytes:
    if len(secret) < MIN_SECRET:
        raise SecretMissing(detail=f"it has fewer than {MIN_SECRET} bytes")
    if len(secret) > MAX_SECRET:
        raise SecretMissing(detail=f"it has more than {MAX_SECRET} bytes")
    return secret
