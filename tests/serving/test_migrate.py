"""Revisions make the tables that the code declares, and take over what earlier versions left, on SQLite and PostgreSQL."""

import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, inspect, make_url, text

from data.errors import BadInput, EnvironmentLacks
from serving import migrate
from serving.database import SCHEMAS, Database, connect
from serving.migrate import head, reached, upgrade
from serving.migrations import revise
from serving.orders import ShopTables
from tests.serving.postgresql import postgresql

__all__ = ["postgresql"]  # a fixture
# the tables as `create_all` made them in 0.1.0, before there were revisions
BEFORE = """
CREATE TABLE orders (order_id VARCHAR(64) NOT NULL, customer_id VARCHAR(128) NOT NULL, status VARCHAR(32) NOT NULL,
  items JSON NOT NULL, address VARCHAR(500) NOT NULL, courier VARCHAR(64), tracking_no VARCHAR(64), PRIMARY KEY (order_id));
CREATE INDEX ix_orders_customer_id ON orders (customer_id);
CREATE TABLE proposals (id VARCHAR(64) NOT NULL, customer_id VARCHAR(128) NOT NULL, conversation_id VARCHAR(128) NOT NULL,
  tool VARCHAR(64) NOT NULL, arguments JSON NOT NULL, code VARCHAR(8) NOT NULL, state VARCHAR(16) NOT NULL,
  created_at FLOAT NOT NULL, expires_at FLOAT NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_proposals_customer_id ON proposals (customer_id);
CREATE INDEX ix_proposals_conversation_id ON proposals (conversation_id);
CREATE TABLE writes (idempotency_key VARCHAR(64) NOT NULL, outcome VARCHAR(64) NOT NULL, at FLOAT NOT NULL,
  PRIMARY KEY (idempotency_key), FOREIGN KEY(idempotency_key) REFERENCES proposals (id));
INSERT INTO orders VALUES ('123456', 'demo', 'packed', '[]', '1 Hill Road', NULL, NULL);
INSERT INTO proposals VALUES ('p', 'demo', '', 'update_delivery_address', '{}', '4821', 'executed', 1.0, 2.0);
INSERT INTO writes VALUES ('p', 'done', 1.5)
"""
HOW = 'write the missing revision: python -m serving.migrations.revise {} "what changes"'


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite database."""
    engine = connect(f"sqlite:///{tmp_path}/made.db")
    yield engine
    engine.dispose()


def as_before(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in BEFORE.split(";\n"):
            connection.execute(text(statement))


def agrees(engine: Engine, schema: str) -> None:
    assert revise.differences(engine, schema) == [], HOW.format(schema)


def test_every_schema_has_revisions() -> None:
    """A new DeclarativeBase needs a folder below serving/migrations, its name in `revisions` and in `SCHEMAS`."""
    assert sorted(revise.declared()) == sorted(SCHEMAS)
    assert all((migrate.MIGRATIONS / schema).is_dir() for schema in SCHEMAS)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_revisions_make_the_declared_tables(made: Engine, schema: str) -> None:
    assert upgrade(made, schema) is None and reached(made, schema) == head(schema)
    agrees(made, schema)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_revisions_follow_one_another(schema: str) -> None:
    files = sorted((migrate.MIGRATIONS / schema).glob("[0-9]*.py"))
    numbers = [path.name[:4] for path in files]
    assert numbers == [f"{number:04d}" for number in range(1, len(files) + 1)]
    for before, path in zip(["None", *(f'"{number}"' for number in numbers)], files, strict=False):
        code = path.read_text(encoding="utf-8")
        assert re.search(f'^revision = "{path.name[:4]}"$', code, re.M)
        assert re.search(f"^down_revision = {before}$", code, re.M), f"{path.name} does not follow {before}"


def test_a_database_of_the_time_before_revisions_is_taken_over(made: Engine) -> None:
    as_before(made)
    upgrade(made, "shop")
    agrees(made, "shop")
    with made.connect() as connection:
        assert connection.execute(text("SELECT address FROM orders")).scalar() == "1 Hill Road"
        assert connection.execute(text("SELECT outcome, facts FROM writes")).one() == ("done", None)


def test_tables_that_such_a_database_lacks_are_made(made: Engine) -> None:
    as_before(made)
    with made.begin() as connection:
        connection.execute(text("DROP TABLE writes"))
        connection.execute(text("DROP INDEX ix_orders_customer_id"))
    upgrade(made, "shop")
    agrees(made, "shop")


def test_a_database_that_is_up_to_date_is_only_read(made: Engine) -> None:
    upgrade(made, "shop")
    with made.begin() as writer:  # holds SQLite's only lock for writers
        writer.execute(text("DELETE FROM writes"))
        assert upgrade(made, "shop") == head("shop")


def test_both_schemas_live_in_one_database(made: Engine) -> None:
    assert [upgrade(made, schema) for schema in SCHEMAS] == [None, None]
    assert [upgrade(made, schema) for schema in SCHEMAS] == [head(schema) for schema in SCHEMAS]


def test_newer_tables_are_refused(made: Engine, tmp_path: Path) -> None:
    upgrade(made, "shop")
    with made.begin() as connection:
        connection.execute(text("UPDATE shop_revision SET version_num = '9999'"))
    with pytest.raises(EnvironmentLacks, match="at revision 9999 of shop; this code knows them up to"):
        Database.open(f"sqlite:///{tmp_path}/made.db", ShopTables)


def test_opening_at_the_same_time_upgrades_once(tmp_path: Path) -> None:
    engines = [connect(f"sqlite:///{tmp_path}/made.db") for _ in range(4)]
    start = threading.Barrier(len(engines))

    def bring(engine: Engine) -> str | None:
        start.wait(10)
        return upgrade(engine, "shop")

    with ThreadPoolExecutor(len(engines)) as pool:
        before = list(pool.map(bring, engines))
    assert sorted(map(str, before)) == sorted(["None", *[head("shop")] * 3])
    agrees(engines[0], "shop")
    for engine in engines:
        engine.dispose()


@pytest.fixture
def own_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the revisions that a test may change."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (migrate, revise):
        monkeypatch.setattr(module, "MIGRATIONS", folder)
    return folder


def test_a_revision_that_fails_leaves_the_database_as_it_was(made: Engine, own_migrations: Path) -> None:
    as_before(made)
    last = next((own_migrations / "shop").glob(f"{head('shop')}_*.py"))
    last.write_text(last.read_text(encoding="utf-8") + '\n    raise RuntimeError("power cut")\n', encoding="utf-8")
    tables = set(inspect(made).get_table_names())
    with pytest.raises(RuntimeError):
        upgrade(made, "shop")
    assert set(inspect(made).get_table_names()) == tables and reached(made, "shop") is None


def test_a_revision_is_written_from_what_the_tables_declare(made: Engine, own_migrations: Path) -> None:
    with pytest.raises(BadInput, match=f"as revision {head('shop')} makes them: nothing to write"):
        revise.revise("shop", "nothing")
    with pytest.raises(BadInput, match="no schema stock"):
        revise.revise("stock", "x")
    gone = head("shop")
    for path in (own_migrations / "shop").glob(f"{gone}_*.py"):
        path.unlink()
    written = revise.revise("shop", "All of it again")
    assert written.name == f"{gone}_all_of_it_again.py"
    upgrade(made, "shop")
    agrees(made, "shop")


@pytest.fixture
def empty(postgresql: str) -> Iterator[Any]:
    """Makes empty databases on PostgreSQL; gives their engines."""
    engines: list[Engine] = []

    def make(name: str) -> Engine:
        url = make_url(postgresql)
        with psycopg.connect(url.set(drivername="postgresql").render_as_string(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        engines.append(connect(url.set(database=name).render_as_string()))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.mark.services
def test_on_postgresql_revisions_make_the_declared_tables(empty: Any) -> None:
    for schema in SCHEMAS:
        engine = empty(f"made_{schema}")
        upgrade(engine, schema)
        agrees(engine, schema)


@pytest.mark.services
def test_on_postgresql_a_database_of_the_time_before_is_taken_over_once(empty: Any) -> None:
    engine = empty("before")
    as_before(engine)
    with ThreadPoolExecutor(4) as pool:
        before = list(pool.map(lambda _: upgrade(engine, "shop"), range(4)))
    assert before.count(None) == 1
    agrees(engine, "shop")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT address FROM orders")).scalar() == "1 Hill Road"


def test_conversations_of_before_get_their_exchanges_and_sizes(made: Engine) -> None:
    said = ['{"role":"user","content":"hi"}', '{"role":"assistant","content":"你好"}', '{"role":"user","content":"?"}']
    with made.begin() as connection:
        for statement in (
            "CREATE TABLE conversations (id VARCHAR(128) NOT NULL, customer VARCHAR(128) NOT NULL, "
            "api_key VARCHAR(64) NOT NULL, created_at FLOAT NOT NULL, PRIMARY KEY (id))",
            "CREATE TABLE turns (conversation_id VARCHAR(128) NOT NULL, position INTEGER NOT NULL, message TEXT NOT NULL, "
            "PRIMARY KEY (conversation_id, position), FOREIGN KEY(conversation_id) REFERENCES conversations (id))",
            "INSERT INTO conversations VALUES ('c', 'demo', '', 7.0), ('empty', '', '', 8.0)",
        ):
            connection.execute(text(statement))
        for position, message in enumerate(said):
            connection.execute(text("INSERT INTO turns VALUES ('c', :at, :told)"), {"at": position, "told": message})
    upgrade(made, "conversations")
    agrees(made, "conversations")
    with made.connect() as connection:
        rows = connection.execute(text("SELECT id, used_at, turns, kept, size FROM conversations ORDER BY id")).all()
        assert rows == [("c", 7.0, 3, 3, sum(len(message.encode()) for message in said)), ("empty", 8.0, 0, 0, 0)]
        assert connection.execute(text("SELECT exchange, message FROM turns ORDER BY position")).all() == [
            (start, message) for start, message in zip((0, 0, 2), said, strict=True)
        ]
