"""Conversations and turns, as they were before revisions; what is there already is left alone."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates what is missing."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("customer", sa.String(128), nullable=False),
        sa.Column("api_key", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "turns",
        sa.Column("conversation_id", sa.String(128), sa.ForeignKey("conversations.id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("message", sa.Text(), nullable=False),
        if_not_exists=True,
    )
