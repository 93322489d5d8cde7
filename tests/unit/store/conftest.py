"""The store on a real PostgreSQL."""

from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]
