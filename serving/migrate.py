"""Brings the tables of a database up to date, by the revisions below `serving/migrations`.

A schema is a folder there, its revisions are files that are numbered in their order (`0001_...py`), and a table of the
database holds the number it has reached. Revision 0001 creates what is missing, so that databases of the time before
revisions are taken over as they are. Everything happens in one transaction: a failure leaves the database as it was.
Not covered: going back; restore a backup for that. A new revision is written by `serving/migrations/revise.py`.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from data.errors import EnvironmentLacks

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_LOCK = threading.Lock()  # Alembic keeps its context in a module


def head(schema: str) -> str:
    """The number of a schema's latest revision."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / schema).glob("[0-9]*_*.py"))


def version_table(schema: str) -> str:
    """The table that holds the number that a database has reached; schemas may share a database."""
    return f"{schema}_revision"


def current(connection: Connection, schema: str) -> str | None:
    """The number that a database has reached; None before the first."""
    table = version_table(schema)
    if not inspect(connection).has_table(table):
        return None
    return connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608 - a name of our own


def reached(engine: Engine, schema: str) -> str | None:
    """The number that a database has reached, read in a transaction of its own."""
    with engine.execution_options(kefu_reads=True).connect() as connection:
        return current(connection, schema)


def upgrade(engine: Engine, schema: str) -> str | None:
    """Brings a schema up to date; gives the number it had reached before. One that is up to date is only read.

    Raises:
        EnvironmentLacks: newer code has brought it further than this code knows.
    """
    if (before := reached(engine, schema)) == head(schema):
        return before
    with _LOCK, engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # on SQLite the transaction itself keeps others out
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:table))"), {"table": version_table(schema)})
        before = current(connection, schema)
        if before is not None and before > head(schema):
            raise EnvironmentLacks(
                f"the tables of {engine.url.render_as_string()} are at revision {before} of {schema}; this code knows "
                f"them up to {head(schema)}. Use the newer code, or another database"
            )
        from alembic import command

        command.upgrade(config(schema, connection), "head")
    return before


def config(schema: str, connection: Connection) -> "Config":
    """Alembic's settings for one schema over an open connection, as `migrations/env.py` reads them."""
    from alembic.config import Config

    settings = Config(attributes={"connection": connection, "version_table": version_table(schema)})
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.set_main_option("version_locations", str(MIGRATIONS / schema).replace("%", "%%"))
    settings.set_main_option("path_separator", "newline")
    settings.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return settings
