"""The hub's settings: one frozen model, each field documented where it is declared.

Read from ``hub.toml``; ``GONGWEN_*`` environment variables override it. Relative
paths are relative to the file's folder. Unknown keys are refused at start: a
mistyped setting must not silently be a default. Secrets are in files, never here
and never in the environment.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from exchange.protocol.errors import ExchangeError
from pki.names import UnitId, parse_unit_id
from pki.text import N_


class SettingsInvalid(ExchangeError):
    """The settings file cannot be used; nothing was started."""

    code = "settings-invalid"
    template = N_("the settings in {path} cannot be used: {detail}")


class Settings(BaseSettings):
    """Settings of one hub."""

    model_config = SettingsConfigDict(env_prefix="GONGWEN_", extra="forbid", frozen=True)

    folder: Path
    """Where everything else lies: the folder of ``hub.toml``. Set by the reader, not in the file."""
    origin: str = Field(min_length=1, max_length=200, pattern=r"^[a-z0-9.-]+$")
    """The hub's name in envelopes and evidence, and the beginning of its ledger's. Fixed for life: what was
    made for another origin is refused, and the ledger of another origin is another ledger."""
    ledger: str = Field(min_length=1, max_length=240)
    """The ledger's origin (C2SP tlog-checkpoint). It must be the one that ``gongwen hub init`` made."""
    unit: str
    """统一社会信用代码 of the organisation that runs the hub; it stands in the hub's certificates."""
    name: str = Field(min_length=1, max_length=64)
    """The hub's name for people."""
    units_listen: str = "127.0.0.1:8443"
    """Address and port of the listener for units (mutual TLS). A wrong address: units cannot connect."""
    public_listen: str = "127.0.0.1:8444"
    """Address and port of the listener for everybody (TLS without client certificates)."""
    units_url: str
    """How units reach their listener; told to them at enrolment. A wrong one sends them nowhere."""
    public_url: str
    """How everybody reaches the public listener; CRL addresses in certificates begin with it."""
    secret_file: Path = Path("secret")
    """File (mode 0600) with the secret of the key folders. $CREDENTIALS_DIRECTORY/gongwen-hub comes first,
    where the service manager sets it."""
    database_url: str = "sqlite+aiosqlite:///{folder}/hub.sqlite"
    """SQLAlchemy URL. SQLite serves one hub process on a local disk; never put it on a network file system."""
    signer_folder: Path = Path("signer")
    """The checkpoint signer's memory. Put it on another disk; never restore it together with the database:
    it is what notices that the database was rolled back."""
    max_content_bytes: int = Field(default=10_000_000_000, ge=1)
    """Largest single content. Larger uploads are refused before a byte is taken."""
    max_small_bytes: int = Field(default=8 << 20, ge=1 << 16)
    """Largest dispatch that may come whole in one request; it is held in memory while it arrives."""
    max_expiry_days: int = Field(default=90, ge=1, le=3650)
    """How far away ``expires_at`` may lie. Larger keeps consignments open longer."""
    min_free_bytes: int = Field(default=256 << 20, ge=0)
    """Free disk space below which contents are refused (507), so that the database can still write."""
    judge_workers: int = Field(default=2, ge=1, le=64)
    """Processes that judge documents. Each holds about 100 MB; more than cores is of no use."""
    judge_seconds: float = Field(default=20, gt=0, le=600)
    """Wall time for one document; what takes longer is undecided and therefore refused."""
    language: Literal["zh_CN", "en"] = "zh_CN"
    """Language of reasons in evidence, and of answers to clients that ask for none."""
    log_format: Literal["json", "console"] = "json"
    """``console`` for a person's terminal."""

    @field_validator("unit")
    @classmethod
    def _unit(cls, value: str) -> str:
        return parse_unit_id(value)

    @field_validator("units_listen", "public_listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        split_address(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; no .env files and no secrets from anywhere."""
        return env_settings, init_settings

    @property
    def unit_id(self) -> UnitId:
        """The hub's unit."""
        return UnitId(self.unit)

    @property
    def database(self) -> str:
        """The database's URL with the folder filled in."""
        return self.database_url.replace("{folder}", str(self.folder))

    def path(self, relative: Path) -> Path:
        """A path of the settings, relative to the folder."""
        return self.folder / relative


def split_address(value: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:8443`` or ``[::1]:8443``."""
    host, separator, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("must be ADDRESS:PORT")
    ipaddress.ip_address(host)
    return host, int(port)


def read_settings(path: Path) -> Settings:
    """The settings of a hub.

    Raises:
        SettingsInvalid: the file is missing or malformed, a key unknown, a value impossible.
    """
    try:
        with path.open("rb") as file:
            values: dict[str, Any] = tomllib.load(file)
        folder = path.resolve().parent
        # The folder is the file's own; not even the environment may say otherwise.
        return Settings(folder=folder, **values).model_copy(update={"folder": folder})
    except FileNotFoundError:
        raise SettingsInvalid(path=path, detail="there is no such file; gongwen hub init makes one") from None
    except (OSError, tomllib.TOMLDecodeError, TypeError) as error:
        raise SettingsInvalid(path=path, detail=str(error)) from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SettingsInvalid(path=path, detail=problems) from None


def write_settings(path: Path, values: dict[str, str]) -> None:
    """A new settings file; an existing one is never overwritten."""
    lines = ["# gongwen hub. Every setting and what goes wrong with it: docs/how-to/operator.md", ""]
    for key, value in values.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{key} = "{escaped}"')
    with path.open("x", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
