"""The revisions of each database schema, a folder a schema; `serving/migrate.py` runs them."""
