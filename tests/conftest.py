"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Demo:
    """What ``gongwen demo --dir DIR --keep --json`` left, and what it said."""

    folder: Path
    said: dict[str, Any]

    def files(self, part: str) -> list[Path]:
        """The files of one part of the folder, by name."""
        return sorted(file for file in (self.folder / part).rglob("*") if file.is_file())


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The main job, run once by the command line as a user would; tests change copies of it only."""
    # Lazily: most tests need neither the hub's libraries nor HTTP.
    from tests.end_to_end.hubs import gongwen

    folder = tmp_path_factory.mktemp("demo") / "D"
    done = gongwen("demo", "--dir", folder, "--keep", "--json")
    assert done.returncode == 0, done.stderr.decode()
    return Demo(folder, json.loads(done.stdout))
