"""``gongwen hub …`` and ``gongwen pki …``: running a hub. Thin: ``exchange.operator`` does the work.

The hub's libraries are an extra. Where they are missing these commands say so and
end with 1; nothing else of the command line needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from clients.commands.options import JsonOption
from clients.errors import ExtraMissing, OptionUnfit
from clients.exits import Exit
from clients.speech import _, say, show_json, show_table, tell
from pki.text import N_, text

HUB_MODULES = frozenset(
    {"aiohttp", "aiosqlite", "alembic", "prometheus_client", "pydantic_settings", "sqlalchemy", "structlog"}
)
"""What the extra ``hub`` brings."""

ConfigOption = Annotated[
    Path,
    typer.Option("--config", metavar="FILE", exists=True, dir_okay=False, help=_("The hub's hub.toml.")),
]


@contextmanager
def hub_extra() -> Iterator[None]:
    """Turn the absence of the hub's libraries into a sentence.

    Raises:
        ExtraMissing: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in HUB_MODULES:
            raise
        raise ExtraMissing(extra="hub", module=module) from error


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=_("A new folder for the hub's state."))],
    origin: Annotated[str, typer.Option("--origin", help=_("The hub's name, like hub.example.gov."))],
    unit: Annotated[str, typer.Option("--unit", metavar="CODE", help=_("Code of the unit that runs it."))],
    name: Annotated[str, typer.Option("--name", help=_("Name of the unit that runs it."))],
    units_listen: Annotated[
        str, typer.Option("--units-listen", metavar="ADDRESS:PORT", help=_("Where units connect."))
    ] = "127.0.0.1:8443",
    public_listen: Annotated[
        str, typer.Option("--public-listen", metavar="ADDRESS:PORT", help=_("Where everybody connects."))
    ] = "127.0.0.1:8444",
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host", help=_("Name by which it is reached; the first stands in its URLs. Repeat it.")
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    hosts = tuple(host) if host else ("localhost", "127.0.0.1")
    ports = [_port(units_listen, "--units-listen"), _port(public_listen, "--public-listen")]
    with hub_extra():
        from exchange.operator import NewHub, init_hub

        new = NewHub(
            origin=origin,
            unit=unit,
            name=name,
            units_listen=units_listen,
            public_listen=public_listen,
            units_url=f"https://{hosts[0]}:{ports[0]}",
            public_url=f"https://{hosts[0]}:{ports[1]}",
            server_names=hosts,
        )
        init_hub(folder, new)
    config = folder / "hub.toml"
    if json:
        show_json({"folder": str(folder), "config": str(config)})
    else:
        tell(text(N_("The hub is in {folder}."), folder=folder))
        tell(
            text(
                N_("Take {file} to another place; only renewing the root's list needs it."),
                file=folder / "root-secret",
            )
        )
        tell(text(N_("To start it: gongwen hub serve --config {config}"), config=config))
    return Exit.DONE


def _port(address: str, option: str) -> int:
    port = address.rpartition(":")[2]
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise OptionUnfit(option=option, detail=N_("write it like 127.0.0.1:8443"))
    return int(port)


def serve(
    config: ConfigOption = Path("hub.toml"),
    processes: Annotated[
        int, typer.Option("--processes", min=1, max=64, help=_("How many processes share the work."))
    ] = 1,
) -> int:
    with hub_extra():
        from exchange.app import serve as run

        return run(config, processes)


def doctor(config: ConfigOption = Path("hub.toml"), json: JsonOption = False) -> int:
    with hub_extra():
        from exchange.operator import doctor as run

        checks = run(config)
    if json:
        show_json([{"name": one.name, "ok": one.ok, "remedy": one.remedy} for one in checks])
    else:
        rows = [(one.name, _("good") if one.ok else _("bad"), one.remedy) for one in checks]
        show_table([_("what"), _("state"), _("remedy")], rows)
    return Exit.DONE if all(one.ok for one in checks) else Exit.FAILURE


def invite(
    unit: Annotated[
        str, typer.Argument(metavar="CODE", help=_("The unit's code, with /sub-unit if it is one."))
    ],
    name: Annotated[
        str, typer.Option("--name", help=_("The unit's name, as it stands in its certificates."))
    ],
    config: ConfigOption = Path("hub.toml"),
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help=_("Where to put it; else stdout."))
    ] = None,
    json: JsonOption = False,
) -> int:
    import json as encoder

    from clients.files import write_privately

    with hub_extra():
        from exchange.operator import invite as run

        invitation = run(config, unit, name)
    if output is None:
        show_json(invitation)
        return Exit.DONE
    if output.exists():
        raise OptionUnfit(option=str(output), detail=N_("it is there already"))
    # It holds a token that enrols whoever brings it.
    write_privately(output, encoder.dumps(invitation, ensure_ascii=False, indent=2).encode() + b"\n")
    if json:
        show_json({"invitation": str(output), "unit": unit})
    else:
        tell(
            text(
                N_("Hand {path} to {name} by a way that you trust; it can be used once."),
                path=output,
                name=name,
            )
        )
    return Exit.DONE


def revoke(
    unit: Annotated[str, typer.Argument(metavar="CODE", help=_("Whose certificates."))],
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            help=_("keyCompromise, affiliationChanged, superseded, cessationOfOperation, unspecified …"),
        ),
    ],
    config: ConfigOption = Path("hub.toml"),
    json: JsonOption = False,
) -> int:
    from pki.revocation import RevocationReason

    try:
        why = RevocationReason.named(reason)
    except ValueError:
        detail = text(N_("choose one of {choices}"), choices=", ".join(RevocationReason))
        raise OptionUnfit(option="--reason", detail=say(detail)) from None
    with hub_extra():
        from exchange.operator import revoke as run

        count = run(config, unit, why)
    if json:
        show_json({"unit": unit, "revoked": count})
    else:
        tell(
            text(
                N_("{count} certificates of {unit} are revoked, and the lists say so."),
                count=count,
                unit=unit,
            )
        )
    return Exit.DONE


def migrate(config: ConfigOption = Path("hub.toml")) -> int:
    with hub_extra():
        from exchange.operator import migrate as run

        run(config)
    tell(text(N_("The database has the schema of this program.")))
    return Exit.DONE


def revocation_lists(
    config: ConfigOption = Path("hub.toml"),
    root_secret: Annotated[
        Path | None,
        typer.Option(
            "--root-secret-file",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help=_("Secret of the root's key, brought back for a moment: its list is signed anew if due."),
        ),
    ] = None,
    json: JsonOption = False,
) -> int:
    with hub_extra():
        from exchange.operator import revocation_lists as run

        found = run(config, root_secret_file=root_secret)
    rows = [
        {
            "authority": name,
            "number": one.number,
            "this_update": one.this_update.isoformat(),
            "next_update": one.next_update.isoformat(),
            "revoked": len(one.entries),
        }
        for name, one in found
    ]
    if json:
        show_json(rows)
    else:
        heads = [_("authority"), _("list number"), _("from"), _("until"), _("certificates revoked")]
        show_table(heads, [list(row.values()) for row in rows])
    return Exit.DONE


def list_certificates(
    unit: Annotated[str | None, typer.Argument(metavar="[CODE]", help=_("Only those of this unit."))] = None,
    config: ConfigOption = Path("hub.toml"),
    json: JsonOption = False,
) -> int:
    with hub_extra():
        from exchange.config import read_settings
        from exchange.operator import open_authority
        from pki.names import parse_unit_id

        with open_authority(read_settings(config)) as opened:
            found = opened.list(unit=None if unit is None else parse_unit_id(unit))
    rows = [
        {
            "unit": one.unit,
            "profile": one.profile,
            "serial": f"{one.certificate.serial_number:x}",
            "ends": one.certificate.not_valid_after_utc,
            "revoked": None if one.revoked is None else one.revoked.at,
        }
        for one in found
    ]
    if json:
        show_json(rows)
    else:
        heads = [_("unit"), _("made for"), _("serial number"), _("good until"), _("revoked")]
        show_table(heads, [tuple(row.values()) for row in rows])
    return Exit.DONE
