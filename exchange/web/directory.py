"""``/v1/whoami`` and ``/v1/directory``: who asks, and who can be sent to."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from exchange.protocol.api import DirectoryPage, Request, UnitView, Whoami
from exchange.web.reading import read_query
from exchange.web.services import SERVICES, SESSION
from exchange.web.shaping import answer


class DirectoryQuery(Request):
    """What to look for in names and codes."""

    q: str | None = Field(default=None, min_length=1, max_length=64)


async def get_whoami(request: web.Request) -> web.StreamResponse:
    """Who the hub takes the caller for."""
    session = request[SESSION]
    return answer(Whoami(unit=session.unit, name=session.name, certificate=session.fingerprint))


async def get_directory(request: web.Request) -> web.StreamResponse:
    """The units of the hub, by code."""
    query = read_query(request, DirectoryQuery)
    units = await request.app[SERVICES].records.units(query.q)
    items = tuple(UnitView(unit=one.unit, name=one.name, can_receive=one.can_receive) for one in units)
    return answer(DirectoryPage(items=items))
