"""Options that many commands share, and what they mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.errors import OptionUnfit
from clients.speech import _
from pki.text import N_

if TYPE_CHECKING:
    from clients.home import UnitHome
    from clients.hub import Hub

JsonOption = Annotated[
    bool, typer.Option("--json", help=_("Print one JSON document on stdout, and nothing else there."))
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help=_("The unit's folder; else $GONGWEN_UNIT_HOME, else the user's configuration folder."),
    ),
]
SecretOption = Annotated[
    Path | None,
    typer.Option(
        "--secret-file",
        metavar="FILE",
        help=_("File with the secret of the keys; else systemd's credential gongwen-unit, else asked."),
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help=_("Judge everything at this time, like 2026-11-21T20:00:00Z.")),
]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_SPAN = re.compile(r"([1-9]\d{0,3})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def read_time(value: str, *, option: str) -> datetime:
    """An instant as FORMATS §7 spells it.

    Raises:
        OptionUnfit: another spelling, or a moment that does not exist.
    """
    try:
        if not _TIME.fullmatch(value):
            raise ValueError
        return datetime.fromisoformat(value)
    except ValueError:
        raise OptionUnfit(option=option, detail=N_("write it like 2026-11-21T20:00:00Z")) from None


def read_deadline(value: str, *, option: str, now: datetime) -> datetime:
    """A deadline: a span from now (``12h``, ``3d``, ``2w``), a day (its end, by this clock), or an instant.

    Raises:
        OptionUnfit: none of these.
    """
    span = _SPAN.fullmatch(value)
    if span is not None:
        return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        if _DATE.fullmatch(value):
            day = datetime.fromisoformat(value) + timedelta(days=1) - timedelta(milliseconds=1)
            return day.astimezone(UTC)
        return read_time(value, option=option)
    except (ValueError, OptionUnfit):
        detail = N_("write it like 3d, 12h, 2w, 2026-11-25 or 2026-11-25T09:00:00Z")
        raise OptionUnfit(option=option, detail=detail) from None


def home_path(home: Path | None) -> Path:
    """The unit's folder that is meant."""
    from clients.home import default_home

    return default_home() if home is None else home


def open_home(home: Path | None, secret_file: Path | None) -> UnitHome:
    """The unit's folder, opened with its secret."""
    import os

    from clients.home import UnitHome, read_config
    from clients.secret import read_secret

    path = home_path(home)
    # Said before the secret is asked for.
    config = read_config(path)
    prompt = f"{_('Secret of the keys of')} {config.name}"
    secret = read_secret(secret_file, environ=os.environ, prompt=prompt)
    return UnitHome.open(path, secret)


def open_hub(home: Path | None, secret_file: Path | None) -> Hub:
    """The unit at its hub; nothing is connected yet."""
    from clients.speech import language

    opened = open_home(home, secret_file)
    # Only now: an HTTP library is nothing to load for a folder that is not there.
    from clients.hub import Hub

    return Hub(opened, language=language().replace("_", "-"))


def checked_file(path: Path, *, option: str) -> bytes:
    """The bytes of a small file that an option names.

    Raises:
        OptionUnfit: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise OptionUnfit(option=option, detail=f"{path}: {error.strerror}") from None
