"""Orders, proposals and writes, as they were before revisions; what is there already is left alone."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates what is missing."""
    op.create_table(
        "orders",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("customer_id", sa.String(128), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("address", sa.String(500), nullable=False),
        sa.Column("courier", sa.String(64), nullable=True),
        sa.Column("tracking_no", sa.String(64), nullable=True),
        if_not_exists=True,
    )
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"], if_not_exists=True)
    op.create_table(
        "proposals",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("customer_id", sa.String(128), nullable=False),
        sa.Column("conversation_id", sa.String(128), nullable=False),
        sa.Column("tool", sa.String(64), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("code", sa.String(8), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_proposals_customer_id", "proposals", ["customer_id"], if_not_exists=True)
    op.create_index("ix_proposals_conversation_id", "proposals", ["conversation_id"], if_not_exists=True)
    op.create_table(
        "writes",
        sa.Column("idempotency_key", sa.String(64), sa.ForeignKey("proposals.id"), primary_key=True),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        if_not_exists=True,
    )
