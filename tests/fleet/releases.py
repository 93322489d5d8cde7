"""Root file systems of what a host may have besides Debian 13, made by debootstrap from their own mirrors."""

import subprocess
from dataclasses import dataclass

import docker
import httpx
from docker.errors import ImageNotFound

from tests.fleet.hosts import CAPABILITIES, LABEL

REPOSITORY = f"{LABEL.replace('.', '/', 1).replace('.', '-')}-root"
SECONDS = 1200


@dataclass(frozen=True)
class Release:
    """A system by its code name, with the mirror, the components and the keyring that it is installed from."""

    name: str
    mirror: str
    components: str
    keyring: str
    suites: tuple[str, ...]

    def missing(self) -> str:
        """What it cannot be had for, empty if its mirror answers."""
        where = f"{self.mirror}/dists/{self.name}/InRelease"
        try:
            answer = httpx.head(where, timeout=30, follow_redirects=True)
        except httpx.HTTPError as error:
            return f"{where} cannot be reached from here: {error}"
        return "" if answer.is_success else f"{where} answers {answer.status_code} here"


BOOKWORM = Release(
    "bookworm",
    "http://deb.debian.org/debian",
    "main",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    ("bookworm-updates",),
)
NOBLE = Release(
    "noble",
    "http://archive.ubuntu.com/ubuntu",
    "main,universe",
    "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    ("noble-updates", "noble-security"),
)
# debootstrap knows each of Ubuntu's releases by the same script; one of its own may be newer than debootstrap is.
_MAKE = r"""set -eu
apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends \
    debootstrap debian-archive-keyring ubuntu-keyring >&2
scripts=/usr/share/debootstrap/scripts
[ -e "$scripts/$1" ] || ln -s gutsy "$scripts/$1"
debootstrap --variant=minbase --components="$3" --include=ca-certificates,iproute2,procps,curl --keyring="$4" \
    "$1" /made "$2" >&2
for suite in "$1" $5; do
    echo "deb $2 $suite $(echo "$3" | tr , ' ')"
done >/made/etc/apt/sources.list
rm -rf /made/var/cache/apt/archives/*.deb /made/var/lib/apt/lists/*
tar --create --numeric-owner --one-file-system --directory /made .
"""


def root_image(engine: docker.DockerClient, base: str, release: Release) -> str:
    """Name of an image that is the release's root file system and nothing else, made if it is not there."""
    name, half = f"{REPOSITORY}:{release.name}", f"{REPOSITORY}-half:{release.name}"
    try:
        engine.images.get(name)
    except ImageNotFound:
        words = [release.name, release.mirror, release.components, release.keyring, " ".join(release.suites)]
        make = ["docker", "run", "--rm", "--label", f"{LABEL}=", *CAPABILITIES, base, "sh", "-c", _MAKE, "sh", *words]
        with subprocess.Popen(make, stdout=subprocess.PIPE) as made:
            load = ["docker", "import", "--change", "ENV LANG=C.UTF-8", "-", half]
            subprocess.run(load, stdin=made.stdout, check=True, capture_output=True, timeout=SECONDS)
        assert made.returncode == 0, f"{release.name} was not made, see above"
        engine.images.get(half).tag(name)
        engine.images.remove(half)
    return name
