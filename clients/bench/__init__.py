"""``gongwen bench SUBJECT``: figures measured now, on this machine.

    {"subject": "hub", "machine": {...}, "figures": [{"name": "dispatches_per_s", "value": 84.1, "unit": "1/s"}]}

Absolute figures belong to the machine and the minute; ratios of two things measured
in alternating slices of one run survive a noisy machine, so gates are ratios
(``docs/performance.md``). Nothing here is a test: no build fails for being slow.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from clients.bench.measure import Figure, machine
from clients.errors import OptionUnfit

SUBJECTS = ("hub", "ledger", "verify", "seal", "pki")


def run(subject: str) -> dict[str, Any]:
    """Measure a subject.

    Raises:
        OptionUnfit: nothing of that name is measured here.
    """
    if subject not in SUBJECTS:
        raise OptionUnfit(option=subject, detail=f"one of {', '.join(SUBJECTS)}")
    measure: Callable[[], list[Figure]] = import_module(f"clients.bench.{subject}").measure
    figures = measure()
    return {
        "subject": subject,
        "machine": machine(),
        "figures": [{"name": one.name, "value": one.value, "unit": one.unit} for one in figures],
    }
