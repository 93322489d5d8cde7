"""The store for the reconciler's tests."""

from tests.store_fixtures import configuration, migrated, small_store, store

__all__ = ["configuration", "migrated", "small_store", "store"]
