"""Every table of the hub, in one place. SQLAlchemy Core; migrations in ``migrations/``.

Facts are written once. What changes is the state of a consignment, the counters
of the ledger's streams, and the ledger's own state row, which is replaced by
compare-and-swap. Keys are time-ordered, so that indexes grow at their end.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Instants are stored as the text of FORMATS §1 (sorts as time, reads the same everywhere).
_TIME = String(24)
_DIGEST = String(71)
_ID = String(36)
_UNIT = String(83)

unit = Table(
    "unit",
    metadata,
    Column("unit", _UNIT, primary_key=True),
    Column("name", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("registered_at", _TIME, nullable=False),
)

credential = Table(
    "credential",
    metadata,
    # SHA-256 of the certificate: the session's unit is found by it, never by subject text.
    Column("fingerprint", _DIGEST, primary_key=True),
    Column("unit", _UNIT, ForeignKey("unit.unit"), nullable=False),
    Column(
        "purpose", String(8), CheckConstraint("purpose IN ('seal', 'tls')", name="purpose"), nullable=False
    ),
    Column("certificate", LargeBinary, nullable=False),
    Column("revoked_at", _TIME),
    Index(None, "unit"),
)

content_grant = Table(
    "content_grant",
    metadata,
    # A content exists for the units that uploaded it, and for nobody else (FORMATS §2).
    Column("unit", _UNIT, primary_key=True),
    Column("digest", _DIGEST, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("granted_at", _TIME, nullable=False),
)

dispatch = Table(
    "dispatch",
    metadata,
    Column("sender", _UNIT, primary_key=True),
    Column("dispatch_id", _ID, primary_key=True),
    Column("digest", _DIGEST, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("accepted_at", _TIME, nullable=False),
    Column("evidence_id", _ID, nullable=False),
)

dispatch_document = Table(
    "dispatch_document",
    metadata,
    Column("sender", _UNIT, primary_key=True),
    Column("dispatch_id", _ID, primary_key=True),
    Column("digest", _DIGEST, primary_key=True),
    Index(None, "digest"),
)

rejection = Table(
    "rejection",
    metadata,
    # The same refused bytes get the same refusal: both files of the submission are the key.
    Column("sender", _UNIT, primary_key=True),
    Column("envelope_digest", _DIGEST, primary_key=True),
    Column("signature_digest", _DIGEST, primary_key=True),
    Column("evidence_id", _ID, nullable=False),
)

consignment = Table(
    "consignment",
    metadata,
    Column("consignment_id", _ID, primary_key=True),
    Column("sender", _UNIT, nullable=False),
    Column("dispatch_id", _ID, nullable=False),
    Column("recipient", _UNIT, nullable=False),
    Column("role", String(4), CheckConstraint("role IN ('main', 'copy')", name="role"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("last_evidence", _ID, nullable=False),
    # Index of the ledger entry that made the last change: the cursor of inbox and outbox.
    Column("changed_index", BigInteger, nullable=False),
    Column("changed_at", _TIME, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    Index(None, "sender", "dispatch_id"),
    Index(None, "recipient", "changed_index"),
    Index(None, "state", "expires_at"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("evidence_id", _ID, primary_key=True),
    Column("sender", _UNIT, nullable=False),
    Column("dispatch_id", _ID),
    Column("consignment_id", _ID),
    Column("recipient", _UNIT),
    Column("event", String(40), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    # The statement as its author posted it, before the hub added its own signature: the repeat is known by it.
    Column("posted_digest", _DIGEST),
    Column("salt", LargeBinary(32), nullable=False),
    Column("entry_index", BigInteger, nullable=False),
    # Digests of the revocation data frozen into the receipt, joined by a comma.
    Column("revocation", Text, nullable=False),
    Index(None, "sender", "dispatch_id"),
    Index(None, "consignment_id"),
)

revocation_data = Table(
    "revocation_data",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

ledger_state = Table(
    "ledger_state",
    metadata,
    Column("ledger", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("at", _TIME, nullable=False),
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("ledger", Text, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    Column("leaf", LargeBinary(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
)

ledger_node = Table(
    "ledger_node",
    metadata,
    # Hash n of tile level >= 1: the root of the entries [n * 256**level, (n+1) * 256**level).
    Column("ledger", Text, primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("hash", LargeBinary(32), nullable=False),
)

ledger_checkpoint = Table(
    "ledger_checkpoint",
    metadata,
    # One row per batch, written with the batch: its size is where the signer signs. The note is
    # deterministic (Ed25519), so it may be filled in later and is the same whenever it is made.
    Column("ledger", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("root", LargeBinary(32), nullable=False),
    Column("at", _TIME, nullable=False),
    Column("note", LargeBinary),
)

ledger_stream = Table(
    "ledger_stream",
    metadata,
    Column("party", Text, primary_key=True),
    Column("stream", String(32), nullable=False, unique=True),
    Column("n", BigInteger, nullable=False),
)
