"""One way to open a database: SQLite by default, PostgreSQL by URL; reads and writes are whole transactions.

Tables that declare `revisions`, a folder below `serving/migrations`, are brought up to date when they are opened; others
are created where they are missing. Not covered: how a schema changes (`serving/migrate.py`).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session

from data.artifact import home
from data.errors import BadInput, EnvironmentLacks
from serving.migrate import upgrade

BUSY_TIMEOUT_S = 10
SCHEMAS = ("shop", "conversations")  # folders below serving/migrations; on SQLite a file each
_SQLITE: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S}
_SERVER: dict[str, Any] = {  # no statement and no lock may hold a thread for ever
    "connect_timeout": BUSY_TIMEOUT_S,
    "options": f"-c statement_timeout={BUSY_TIMEOUT_S * 1000} -c lock_timeout={BUSY_TIMEOUT_S * 1000}",
}


def database_url(name: str) -> str:
    """`$KEFU_DATABASE_URL`, or the SQLite file `name` (shop.db, conversations.db) in `$KEFU_HOME`."""
    return os.environ.get("KEFU_DATABASE_URL") or f"sqlite:///{home() / name}"


class Database:
    """An engine and its tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str, tables: type[DeclarativeBase], *, survives_power_cut: bool = True) -> "Database":
        """Connects and brings the tables up to date.

        Without `survives_power_cut` SQLite does not wait for the disk at every commit: a power cut, though no crash of ours,
        may then lose the last ones, but breaks nothing.

        Raises:
            BadInput: the URL is not one of a database.
            EnvironmentLacks: the driver is missing, the database does not answer, or newer code made its tables.
        """
        engine = connect(url, survives_power_cut=survives_power_cut)
        with told(engine):
            if revisions := getattr(tables, "revisions", None):
                upgrade(engine, revisions)
            else:
                tables.metadata.create_all(engine)
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading."""
        with Session(self._engine.execution_options(kefu_reads=True)) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed when the block ends, undone when it raises."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()


def connect(url: str, *, survives_power_cut: bool = True) -> Engine:
    """An engine for a database; nothing is asked of it yet. `survives_power_cut`: as in `Database.open`.

    Raises:
        BadInput: the URL is not one of a database.
        EnvironmentLacks: the driver is missing.
    """
    try:
        parsed = make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        if sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args=_SQLITE if sqlite else _SERVER, pool_pre_ping=not sqlite)
    except (ArgumentError, NoSuchModuleError) as error:
        raise BadInput(
            f"{url!r} is not a database URL ({error}); expected sqlite:///FILE or postgresql+psycopg://..."
        ) from error
    except ImportError as error:
        raise EnvironmentLacks(f"the driver of this database is not installed: {error}") from error
    if sqlite:
        event.listen(engine, "connect", _own_transactions)
        if not survives_power_cut:
            event.listen(engine, "connect", _without_waiting)
        event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def told(engine: Engine) -> Iterator[None]:
    """Says of a database that breaks while it is opened which one it is, without its password.

    Raises:
        EnvironmentLacks: instead of the library's error.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise EnvironmentLacks(
            f"the database {engine.url.render_as_string()} does not answer, or its tables cannot be made: {error}"
        ) from error


def _own_transactions(connection: Any, _record: Any) -> None:
    """SQLite's driver would open transactions late and by itself; `_begin` opens them instead."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")


def _without_waiting(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: Any) -> None:
    """A writer takes its lock at once: two transactions that read first and write later would deadlock."""
    reads = connection.get_execution_options().get("kefu_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
