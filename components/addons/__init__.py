"""Data services: the platform's own and those of apps."""
