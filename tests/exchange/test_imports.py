"""Every module of the exchange can be loaded by itself, first: none leans on another having been loaded."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import exchange

ROOT = Path(__file__).resolve().parents[2]


def test_every_module_loads_in_an_order_of_its_own() -> None:
    names = [
        one.name
        for one in pkgutil.walk_packages(exchange.__path__, "exchange.")
        if ".migrations" not in one.name
    ]
    assert len(names) > 60
    # One process each would take minutes; forgetting ours between them does as well.
    program = f"""
import importlib, sys, warnings
warnings.simplefilter("error")
for name in {names!r}:
    for loaded in [one for one in sys.modules if one.split(".")[0] == "exchange"]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_nothing_connects_or_opens_when_it_is_loaded() -> None:
    program = """
import socket, sqlite3, builtins
def refuse(*args, **kwargs):
    raise AssertionError("at import time")
socket.socket.connect = refuse
sqlite3.connect = refuse
import exchange.app, exchange.operator, exchange.web.listeners, exchange.storage.committer
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
