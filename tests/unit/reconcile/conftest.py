"""The store for the reconciler's tests."""

from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]
