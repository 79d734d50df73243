"""A world per test, on a disk that need not survive it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.fake_hub import ClientWorld


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Waiting for the disk is most of what these tests would do; none of them cuts the power.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def world(tmp_path: Path) -> ClientWorld:
    return ClientWorld(tmp_path)
