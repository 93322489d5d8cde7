"""The store for the tests of one-off dynos."""

from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]
