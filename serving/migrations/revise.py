"""`python -m serving.migrations.revise SCHEMA "what changes"`: writes the next revision from what the tables declare.

Look at what it wrote: a renamed column is seen as one that went and one that came. Not covered: moving data, which is
written by hand into the same file.
"""

import argparse
import importlib
import pkgutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase

import serving
from data.errors import BadInput
from serving.database import connect
from serving.migrate import MIGRATIONS, config, head, upgrade, version_table


def declared() -> dict[str, type[DeclarativeBase]]:
    """Every schema that a module of `serving` declares, by its folder's name; by its class's name if it has none."""
    for module in pkgutil.walk_packages(serving.__path__, "serving."):
        if not module.name.startswith("serving.migrations."):
            importlib.import_module(module.name)
    bases = [base for base in DeclarativeBase.__subclasses__() if base.__module__.startswith("serving.")]
    return {getattr(base, "revisions", base.__name__): base for base in bases}


def differences(engine: Engine, schema: str) -> list[Any]:
    """What the declared tables have other than an up-to-date database of this schema alone; empty where they agree."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table(schema)})
        return list(compare_metadata(context, declared()[schema].metadata))


def revise(schema: str, message: str) -> Path:
    """Writes the next revision of a schema; gives its file.

    Raises:
        BadInput: there is no such schema, or its tables are as the revisions make them.
    """
    if schema not in declared() or not (MIGRATIONS / schema).is_dir():
        raise BadInput(f"no schema {schema} below {MIGRATIONS}; there are {', '.join(declared())}")
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/made.db")
        upgrade(engine, schema)
        if not differences(engine, schema):
            raise BadInput(f"the tables of {schema} are as revision {head(schema)} makes them: nothing to write")
        number = f"{int(head(schema)) + 1:04d}"
        with engine.begin() as connection:
            settings = config(schema, connection)
            settings.attributes["metadata"] = declared()[schema].metadata
            command.revision(settings, message, autogenerate=True, rev_id=number)
        engine.dispose()
    return next((MIGRATIONS / schema).glob(f"{number}_*.py"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes a revision and names its file."""
    parser = argparse.ArgumentParser(prog="serving.migrations.revise", description="Write the next revision.")
    parser.add_argument("schema", help="shop, conversations")
    parser.add_argument("message", help="what changes, in a few words")
    given = parser.parse_args(arguments)
    print(revise(given.schema, given.message))


if __name__ == "__main__":
    main()
