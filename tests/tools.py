"""Foreign programs that tests judge us with."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str) -> str:
    """Path of a foreign program; without it the test is skipped, or fails where CI=true.

    A user's machine need not have every judge installed; on CI a missing judge
    would silently turn a proof into nothing, so there it is an error.
    """
    path = shutil.which(program)
    if path is not None:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} is needed on CI and is not installed")
    pytest.skip(f"{program} is not installed")
