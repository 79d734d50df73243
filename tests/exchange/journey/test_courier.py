"""The background work: it delivers when woken, closes what has expired, and goes on after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from exchange.courier import worker
from exchange.courier.worker import Courier, Round
from exchange.journey import deliver as deliver_module
from exchange.protocol.errors import Broken
from tests.worlds.hub import World


@pytest.fixture
async def courier(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Courier]:
    monkeypatch.setattr(worker, "EXPIRY_SECONDS", 0.02)
    monkeypatch.setattr(worker, "PAUSES", (0.01, 0.02))
    courier = Courier(Round(world.records, world.records, world.committer, world.notary, world.clock))
    yield courier
    await courier.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it has not happened after five seconds")


async def test_what_waits_since_before_the_start_is_delivered_first(world: World, courier: Courier) -> None:
    accepted = await world.submit(await world.letter())
    one = accepted.consignments[0].consignment_id
    await courier.start()

    async def delivered() -> bool:
        return await world.state(one) == "CONSIGNED"

    await until(delivered)
    await courier.close()
    await world.check_everything()


async def test_woken_it_delivers_all_in_batches(
    world: World, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BATCH", 2)
    monkeypatch.setattr(deliver_module, "BATCH", 2)
    await courier.start()
    accepted = await world.submit(await world.letter(main=list(world.units[1:]), copy=[world.first]))
    courier.wake()

    async def delivered() -> bool:
        states = [await world.state(one.consignment_id) for one in accepted.consignments]
        return states == ["CONSIGNED"] * 4

    await until(delivered)
    await courier.close()
    await world.check_everything()


async def test_it_goes_on_after_failures_that_pass(world: World, courier: Courier) -> None:
    accepted = await world.submit(await world.letter())
    one = accepted.consignments[0].consignment_id
    world.fail_commit(False)
    world.signer.failing += [False, False]
    await courier.start()

    async def delivered() -> bool:
        return await world.state(one) == "CONSIGNED"

    await until(delivered)
    await world.settle()
    await courier.close()
    await world.check_everything()


async def test_it_closes_what_expires(world: World, courier: Courier) -> None:
    (one,) = await world.consign()
    await courier.start()
    world.clock.advance(days=31)

    async def expired() -> bool:
        return await world.state(one) == "EXPIRED"

    await until(expired)
    await courier.close()
    await world.check_everything()


async def test_a_broken_ledger_ends_the_trying(world: World, courier: Courier) -> None:
    await world.submit(await world.letter())
    world.fail_once("release", kept=False)
    await courier.start()
    (task, _) = courier._tasks
    with pytest.raises(Broken):
        await asyncio.wait_for(asyncio.shield(task), 5)
    courier._tasks.remove(task)
    await courier.close()
    await world.restart()
    await world.check_everything()
