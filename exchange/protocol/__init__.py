"""What the parties agree on: dispatch, envelope, evidence, receipt, entry.

Clients import this package, so it holds no storage and no network. Every format
is a strict, inverse pair of functions; the stored bytes are the truth and are
never re-serialised (FORMATS §1). Leans on ``ledger``, ``signing`` and ``pki``.
"""
