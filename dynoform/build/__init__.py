"""Turns sources into slugs: the queue's worker, the build container, the slug layer and the registry."""
