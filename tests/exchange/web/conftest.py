"""One hub for all tests of this folder, in a process of its own; three units are enrolled at it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx2
import pytest

from tests.end_to_end.hubs import TestHub, TestUnit, make_hub

MAX_CONTENT = 6_000_000
MAX_SMALL = 1_000_000


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    made = make_hub(
        tmp_path_factory.mktemp("web") / "hub", max_content_bytes=MAX_CONTENT, max_small_bytes=MAX_SMALL
    )
    with made.running():
        yield made


@pytest.fixture(scope="package")
def office(hub: TestHub) -> Iterator[TestUnit]:
    """The unit that sends."""
    with contextlib.closing(hub.enrol("11310000MB0000002", "市政府办公室")) as unit:
        yield unit


@pytest.fixture(scope="package")
def finance(hub: TestHub) -> Iterator[TestUnit]:
    """The unit that receives."""
    with contextlib.closing(hub.enrol("11310000MB0000003", "市财政局")) as unit:
        yield unit


@pytest.fixture(scope="package")
def stranger(hub: TestHub) -> Iterator[TestUnit]:
    """A unit of the same hub that is no party to anything."""
    with contextlib.closing(hub.enrol("11310000MB0000004", "县教育局")) as unit:
        yield unit


@pytest.fixture(scope="package")
def http(office: TestUnit) -> httpx2.Client:
    """The sending unit, in plain HTTP."""
    return office.door


@pytest.fixture(scope="package")
def public(hub: TestHub) -> Iterator[httpx2.Client]:
    with hub.public() as client:
        yield client
