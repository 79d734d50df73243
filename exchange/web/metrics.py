"""Prometheus metrics of one hub. Labels hold states and routes, never titles, names or ids."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The registry and what is counted in it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "gongwen_http_request_seconds",
            "Time to answer, by route and status",
            ("route", "method", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.submissions = Counter(
            "gongwen_submissions", "Submissions by outcome code", ("outcome",), registry=self.registry
        )
        self.acts = Counter("gongwen_acts", "Acts of units by event", ("event",), registry=self.registry)
        self.upload_bytes = Counter("gongwen_upload_bytes", "Content bytes taken in", registry=self.registry)
        self.ledger_size = Gauge("gongwen_ledger_tree_size", "Entries in the ledger", registry=self.registry)
        self.waiting = Gauge("gongwen_commit_waiting", "Changes waiting for a commit", registry=self.registry)
        self.broken = Gauge("gongwen_ledger_broken", "1 when the writer has stopped", registry=self.registry)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
