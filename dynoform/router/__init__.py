"""The router agent: makes HAProxy route what the store says."""
