"""What a path of the registry's HTTP API asks for (https://distribution.github.io/distribution/spec/api/)."""

import re
from dataclasses import dataclass

from dynoform.domain import container_images
from dynoform.domain.permissions import Permission

MANIFESTS = "manifests"
BLOBS = "blobs"
UPLOADS = "uploads"
"""Where an upload begins."""
UPLOAD = "upload"
"""One that is under way."""
TAGS = "tags"
METHODS = {
    MANIFESTS: {"GET", "HEAD", "PUT", "DELETE"},
    BLOBS: {"GET", "HEAD"},
    UPLOADS: {"POST"},
    UPLOAD: {"GET", "PATCH", "PUT", "DELETE"},
    TAGS: {"GET"},
}
"""What can be done with each. Layers are shared between images, so none can be deleted by itself."""
PARAMETERS = {MANIFESTS: (), BLOBS: (), UPLOADS: ("digest",), UPLOAD: ("_state", "digest"), TAGS: ("n", "last")}
"""Parts of the query that mean something to the registry; ``mount`` and ``from`` are looked at apart."""
_NAME = r"(?P<app>[a-z0-9-]{1,36})/(?P<type>[a-z0-9_-]{1,30})"
_DIGEST = r"[a-z0-9]{1,20}:[0-9a-f]{32,128}"
_REST = {
    MANIFESTS: rf"manifests/(?P<reference>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}|{_DIGEST})",
    BLOBS: rf"blobs/(?P<reference>{_DIGEST})",
    UPLOADS: r"blobs/uploads/?(?P<reference>)",
    UPLOAD: r"blobs/uploads/(?P<reference>[A-Za-z0-9_=-]{1,200})",
    TAGS: r"tags/(?P<reference>list)",
}
_PATHS = {kind: re.compile(f"{_NAME}/{rest}") for kind, rest in _REST.items()}


@dataclass(frozen=True)
class Target:
    """A thing in an app's repository. ``app`` is a name or an id, ``reference`` a tag, a digest or an upload's id."""

    app: str
    process_type: str
    kind: str
    reference: str

    @property
    def name(self) -> str:
        """The repository as its users call it."""
        return f"{self.app}/{self.process_type}"

    @property
    def rest(self) -> str:
        """The path after the repository."""
        return {
            MANIFESTS: f"manifests/{self.reference}",
            BLOBS: f"blobs/{self.reference}",
            UPLOADS: "blobs/uploads/",
            UPLOAD: f"blobs/uploads/{self.reference}",
            TAGS: "tags/list",
        }[self.kind]

    def fills(self, method: str) -> bool:
        """Whether a request brings a layer, or asks where to bring one."""
        return self.kind in {UPLOADS, UPLOAD} and method in {"POST", "PATCH", "PUT"}

    def needs(self, method: str) -> Permission:
        """The permission on the app that a request takes: pushing is deploying."""
        reads = method in {"GET", "HEAD"} and self.kind not in {UPLOADS, UPLOAD}
        return Permission.VIEW if reads else Permission.DEPLOY


def parse(path: str) -> Target | None:
    """What a path after ``/v2/`` asks for; None when that is nothing in an app's repository."""
    for kind, pattern in _PATHS.items():
        if (match := pattern.fullmatch(path)) and container_images.is_type(match["type"]):
            return Target(match["app"], match["type"], kind, match["reference"])
    return None


def parse_repository(name: str) -> tuple[str, str] | None:
    """App and process type of a repository's name; None when it is none of ours."""
    match = re.fullmatch(_NAME, name)
    return (match["app"], match["type"]) if match and container_images.is_type(match["type"]) else None
