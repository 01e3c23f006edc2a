"""Where Alembic starts: within the connection and the transaction of `serving.migrate`."""

from alembic import context

_given = context.config.attributes
context.configure(
    connection=_given["connection"],
    version_table=_given["version_table"],
    target_metadata=_given.get("metadata"),
    render_as_batch=True,  # SQLite changes a column by making the table anew
)
with context.begin_transaction():
    context.run_migrations()
