"""Uploaded tarballs, sources and slugs, on their way to builders that do not share the API's disk."""

PURPOSE = "fetch upload"
"""What the token of such a link is for."""
SECONDS = 600
"""How long a link may be followed."""


def path(identifier: object) -> str:
    """Where the API has one."""
    return f"/uploads/{identifier}"
