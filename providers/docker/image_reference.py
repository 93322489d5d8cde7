"""Names of images. Pure."""


def with_tag(name: str) -> str:
    """``app`` → ``app:latest``; a tag or digest stays."""
    last = name.rsplit("/", 1)[-1]
    return name if ":" in last or "@" in last else f"{name}:latest"


def repository(name: str) -> str:
    """``registry:5000/app:1`` and ``registry:5000/app@sha256:…`` → ``registry:5000/app``."""
    name = name.split("@", 1)[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.split(':', 1)[0]}"


def repository_digest(name: str, digests: list[str]) -> str:
    """The digest reference of the image's own repository, or of any, or nothing."""
    own = repository(name)
    return next((each for each in digests if each.split("@", 1)[0] == own), digests[0] if digests else "")
