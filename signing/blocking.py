"""Calling pyHanko's coroutines from plain functions.

pyHanko's interface is asynchronous because it may fetch; with us it never does, so
its coroutines end without waiting for the world. Who holds an event loop must not
call the functions that use this from its thread: they compute. If it happens
all the same, the result is right and the loop stands still meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, whether or not a loop runs in this thread; its exceptions pass through."""
    if not _loop_runs_here():
        return _run(work)
    results: list[T] = []
    troubles: list[BaseException] = []

    def elsewhere() -> None:
        try:
            results.append(_run(work))
        except BaseException as error:  # carried over to the thread that waits
            troubles.append(error)

    thread = threading.Thread(target=elsewhere, name="gongwen-run-to-end")
    thread.start()
    thread.join()
    if troubles:
        raise troubles[0]
    return results[0]


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(work: Coroutine[Any, Any, T]) -> T:
    """A loop for this one coroutine.

    Not ``asyncio.run``: in the main thread it sets a signal handler, which formats the
    task with its result, and a result may be a document of many megabytes.
    """
    loop = asyncio.new_event_loop()
    try:
        result = loop.run_until_complete(work)
        loop.run_until_complete(loop.shutdown_asyncgens())
        return result
    finally:
        loop.close()
