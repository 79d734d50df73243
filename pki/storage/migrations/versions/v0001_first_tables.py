"""The first tables.

Times are UTC text, serial numbers hex text of 40 characters.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "settings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("created_at", sa.String(27), nullable=False),
        sa.Column("completed_at", sa.String(27)),
        sa.Column("crl_base_url", sa.String, nullable=False),
    )
    op.create_table(
        "certifiers",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("crl_url", sa.String, nullable=False),
        sa.Column("crl_number", sa.Integer, nullable=False),
    )
    op.create_table(
        "units",
        sa.Column("unit", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("registered_at", sa.String(27), nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("token_digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("unit", sa.String, sa.ForeignKey("units.unit"), nullable=False),
        sa.Column("created_at", sa.String(27), nullable=False),
        sa.Column("expires_at", sa.String(27), nullable=False),
        sa.Column("used_at", sa.String(27)),
        sa.Column("request_digest", sa.LargeBinary(32)),
    )
    op.create_table(
        "intents",
        sa.Column("serial", sa.String(40), primary_key=True),
        sa.Column("issuer", sa.String, nullable=False),
        sa.Column("profile", sa.String, nullable=False),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("key_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("to_be_signed", sa.LargeBinary, nullable=False),
        sa.Column("invitation", sa.LargeBinary(32), sa.ForeignKey("invitations.token_digest")),
        sa.Column("prepared_at", sa.String(27), nullable=False),
        sa.Column("spent_at", sa.String(27)),
    )
    op.create_index("intents_by_key", "intents", ["key_digest"])
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.String(71), primary_key=True),
        sa.Column("serial", sa.String(40), sa.ForeignKey("intents.serial"), nullable=False),
        sa.Column("issuer", sa.String, nullable=False),
        sa.Column("profile", sa.String, nullable=False),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("not_after", sa.String(27), nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.String(27), nullable=False),
        sa.UniqueConstraint("serial", name="one_certificate_per_serial"),
    )
    op.create_index("certificates_by_unit", "certificates", ["unit"])
    op.create_table(
        "revocations",
        sa.Column("serial", sa.String(40), sa.ForeignKey("certificates.serial"), primary_key=True),
        sa.Column("issuer", sa.String, nullable=False),
        sa.Column("revoked_at", sa.String(27), nullable=False),
        sa.Column("reason", sa.String, nullable=False),
    )
    op.create_table(
        "revocation_lists",
        sa.Column("issuer", sa.String, sa.ForeignKey("certifiers.name"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("this_update", sa.String(27), nullable=False),
        sa.Column("next_update", sa.String(27), nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Not offered: what was certified is not forgotten."""
    raise RuntimeError("the authority's records are never taken back")
