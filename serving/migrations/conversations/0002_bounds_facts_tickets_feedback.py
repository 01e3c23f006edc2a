"""When a conversation was last used and how large it is, its exchanges and what they settled; turns, feedback, API keys."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
_COUNTED = ("turns", "kept", "size")


def upgrade() -> None:
    """Adds what is new, and fills it for the conversations that are there."""
    op.create_table(
        "feedback",
        sa.Column("answer_id", sa.String(length=128), primary_key=True),
        sa.Column("rating", sa.String(length=8), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("release", sa.String(length=64), nullable=False),
        sa.Column("rated_at", sa.Float(), nullable=False),
    )
    op.create_index("ix_feedback_rated_at", "feedback", ["rated_at"])
    op.create_table(
        "turn_tickets",
        sa.Column("conversation_id", sa.String(length=128), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("good_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "number"),
        sa.UniqueConstraint("holder"),
    )
    op.create_table(
        "api_keys",
        sa.Column("name", sa.String(length=64), primary_key=True),
        sa.Column("digest", sa.String(length=64), nullable=False, unique=True),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("last_used_at", sa.Float(), nullable=True),
        sa.Column("revoked_at", sa.Float(), nullable=True),
    )
    with op.batch_alter_table("conversations") as conversations:
        conversations.add_column(sa.Column("used_at", sa.Float(), nullable=True))
        for name in _COUNTED:
            conversations.add_column(sa.Column(name, sa.Integer(), nullable=True))
    with op.batch_alter_table("turns") as turns:
        turns.add_column(sa.Column("exchange", sa.Integer(), nullable=True))
        turns.add_column(sa.Column("order_id", sa.Text(), nullable=True))
        turns.add_column(sa.Column("address", sa.Text(), nullable=True))
    _fill(op.get_bind())
    with op.batch_alter_table("conversations") as conversations:
        conversations.alter_column("used_at", existing_type=sa.Float(), nullable=False)
        for name in _COUNTED:
            conversations.alter_column(name, existing_type=sa.Integer(), nullable=False)
        conversations.create_index("ix_conversations_used_at", ["used_at"])
    with op.batch_alter_table("turns") as turns:
        turns.alter_column("exchange", existing_type=sa.Integer(), nullable=False)


def _fill(connection: sa.Connection) -> None:
    connection.execute(sa.text("UPDATE conversations SET used_at = created_at, turns = 0, kept = 0, size = 0"))
    rows = connection.execute(sa.text("SELECT conversation_id, position, message FROM turns ORDER BY 1, 2")).all()
    sizes: dict[str, list[int]] = {}
    exchange, before = 0, ("", "")
    for conversation, position, message in rows:
        role = json.loads(message)["role"]
        if before[0] != conversation or (role == "user" and before[1] != "user"):
            exchange = position
        before = (conversation, role)
        sizes.setdefault(conversation, []).append(len(message.encode()))
        connection.execute(
            sa.text("UPDATE turns SET exchange = :exchange WHERE conversation_id = :id AND position = :position"),
            {"exchange": exchange, "id": conversation, "position": position},
        )
    for conversation, held in sizes.items():
        connection.execute(
            sa.text("UPDATE conversations SET turns = :count, kept = :count, size = :size WHERE id = :id"),
            {"count": len(held), "size": sum(held), "id": conversation},
        )
