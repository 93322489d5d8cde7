"""The store for the agent's tests."""

from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]
