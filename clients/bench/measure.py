"""How things are measured: calibrated loops, medians of several slices, the machine in a few words."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SLICE_SECONDS = 0.2
SLICES = 9


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure."""

    name: str
    value: float
    unit: str


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
        "load": round(os.getloadavg()[0], 2),
    }


def rate(step: Callable[[], object], *, slices: int = SLICES) -> float:
    """Calls of ``step`` per second: the median over slices of a calibrated loop."""
    return statistics.median(rates([step], slices=slices)[0])


def rates(steps: Sequence[Callable[[], object]], *, slices: int = SLICES) -> list[list[float]]:
    """The same for several steps measured in alternating slices, so that noise hits all alike."""
    counts = [_calibrate(step) for step in steps]
    found: list[list[float]] = [[] for _ in steps]
    for turn in range(slices):
        order = list(range(len(steps)))
        if turn % 2:
            order.reverse()
        for number in order:
            step, count = steps[number], counts[number]
            started = time.perf_counter()
            for _ in range(count):
                step()
            found[number].append(count / (time.perf_counter() - started))
    return found


def ratio(found: Sequence[Sequence[float]]) -> float:
    """Median over slices of the first rate by the second."""
    return statistics.median(a / b for a, b in zip(found[0], found[1], strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def peak_memory_mb(pid: int) -> float:
    """Peak resident memory of a process so far."""
    with Path(f"/proc/{pid}/status").open(encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    with Path(f"/proc/{pid}/stat").open(encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _calibrate(step: Callable[[], object]) -> int:
    step()
    count = 1
    while True:
        started = time.perf_counter()
        for _ in range(count):
            step()
        seconds = time.perf_counter() - started
        if seconds > SLICE_SECONDS / 4:
            return max(1, int(count * SLICE_SECONDS / seconds))
        count *= 2
