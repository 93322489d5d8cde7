"""The store for the agent's tests."""

from tests.store_fixtures import configuration, migrated, small_store, store

__all__ = ["configuration", "migrated", "small_store", "store"]
