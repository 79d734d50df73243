"""Putting the unit's seal on a file: into a PDF, or beside any other file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clients.errors import OptionUnfit, SealExpired
from clients.files import CHUNK, write_atomically
from clients.home import UnitHome
from clients.verify import Kind, kind_of
from pki.text import N_

_PLACE = re.compile(r"(\d{1,5}|last),(\d{1,4}(?:\.\d{1,3})?),(\d{1,4}(?:\.\d{1,3})?)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the middle of the stamp goes; ``page`` counts from 0, -1 is the last."""

    page: int
    x_mm: float
    y_mm: float


def read_place(value: str) -> Place:
    """``1,105,240`` or ``last,105,240``: page, then millimetres from left and top.

    Raises:
        OptionUnfit: another spelling.
    """
    match = _PLACE.fullmatch(value)
    if match is None or match[1] == "0":
        raise OptionUnfit(option="--at", detail=N_("write it like 1,105,240 or last,105,240"))
    page = -1 if match[1] == "last" else int(match[1]) - 1
    return Place(page, float(match[2]), float(match[3]))


def is_pdf(path: Path) -> bool:
    """Whether the file's first bytes are those of a PDF."""
    with path.open("rb") as file:
        return kind_of(file.read(4096)) is Kind.PDF


def default_output(path: Path, *, detached: bool) -> Path:
    """``NAME.sealed.pdf`` for a seal in a PDF, ``FILE.p7s`` beside any other."""
    if detached or not is_pdf(path):
        return path.with_name(path.name + ".p7s")
    return path.with_name(f"{path.stem}.sealed{path.suffix}")


def seal_file(
    home: UnitHome,
    path: Path,
    target: Path,
    *,
    detached: bool = False,
    place: Place | None = None,
    reason: str | None = None,
    stamp: bool = True,
    further_seals: bool = False,
) -> str:
    """Seal a file with the unit's key; the format that was made. The file itself is never changed.

    Raises:
        SealExpired: the unit's certificate is not good now; no reader would accept the seal.
        SigningError: the document cannot be sealed.
    """
    now = datetime.now(UTC)
    certificate = home.seal.certificate
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise SealExpired(at=certificate.not_valid_after_utc.isoformat())
    if detached or not is_pdf(path):
        if place is not None or reason is not None:
            raise OptionUnfit(option="--at, --reason", detail=N_("only a seal in a PDF has these"))
        digest = _digest(path, home.seal_key.algorithm.hash_name)
        write_atomically(target, home.seal.sign_digest(digest, at=now))
        return "CAdES-B-B"
    # Lazily: sealing another file must not load a PDF library.
    from signing.pdf_seal import StampPlace, seal_pdf
    from signing.stamp import Stamp

    sealed = seal_pdf(
        path.read_bytes(),
        signer=home.seal_key,
        certificates=home.seal_certificates,
        at=now,
        stamp=Stamp(home.config.name) if stamp else None,
        place=None if place is None else StampPlace(place.page, place.x_mm, place.y_mm),
        reason=reason,
        further_seals=further_seals,
    )
    write_atomically(target, sealed)
    return "PAdES-B-B"


def _digest(path: Path, hash_name: str) -> bytes:
    state = hashlib.new(hash_name)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
    return state.digest()
