"""Names of images that a Dockerfile starts from or copies from, and which of them may be fetched.

https://github.com/distribution/reference
"""

import re
from dataclasses import dataclass

from dynoform.domain import stacks

HUB = "docker.io"
_NAME = re.compile(
    r"(?:(?P<host>(?:[a-zA-Z0-9-]+\.)+[a-zA-Z0-9-]+(?::\d{1,5})?|[a-zA-Z0-9-]+:\d{1,5}|localhost)/)?"
    r"(?P<path>[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_BUILD = f"{stacks.DEFAULT}-build"


@dataclass(frozen=True)
class ImageName:
    """``host/path:tag``, or with a digest instead of the tag. The host may have a port."""

    host: str
    path: str
    reference: str

    @property
    def repository(self) -> str:
        """What the engine is asked for."""
        return self.path if self.host == HUB else f"{self.host}/{self.path}"

    @property
    def full(self) -> str:
        """With its tag or digest, as the engine lists it."""
        return f"{self.repository}{'@' if self.reference.startswith('sha256:') else ':'}{self.reference}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where it is fetched."""
        if self.host == HUB:
            return "registry-1.docker.io", 443
        host, _, port = self.host.partition(":")
        return host, int(port or 443)


def parse(text: str) -> ImageName | None:
    """The image that a FROM names; None for text that is no name."""
    match = _NAME.fullmatch(text) if len(text) <= 500 else None
    if match is None or match["path"] == "sha256":  # the engine takes sha256:… for an image that it has
        return None
    return ImageName(match["host"] or HUB, match["path"], match["digest"] or match["tag"] or "latest")


def stack(text: str) -> str | None:
    """``run`` or ``build`` when a FROM names one of the platform's own images, by the name of its stack."""
    return {stacks.DEFAULT: "run", _BUILD: "build"}.get(text)
