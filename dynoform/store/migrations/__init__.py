"""Migrations of the store, numbered; see ``dynoform.store.migrate``."""
