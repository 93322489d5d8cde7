"""Prints, as a JSON list, which of these images the registry does not have; changes nothing.

Arguments: the registry's ``host:port``, then ``repository:tag`` of each image. Goes by the engine's own trust in it.
"""

import http.client
import json
import ssl
import sys
from pathlib import Path

SECONDS = 20
FOUND, MISSING = 200, 404
KINDS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


def main() -> None:
    """Ends with the registry's status when it gives none of the two answers."""
    registry, *images = sys.argv[1:]
    folder = Path("/etc/docker/certs.d", registry)
    trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    trust.load_cert_chain(str(folder / "client.cert"), str(folder / "client.key"))
    connection = http.client.HTTPSConnection(registry, timeout=SECONDS, context=trust)
    missing = []
    for image in images:
        repository, _, tag = image.rpartition(":")
        connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": ", ".join(KINDS)})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (FOUND, MISSING):
            sys.exit(f"the registry answers {answer.status} for {image}")
        if answer.status == MISSING:
            missing.append(image)
    print(json.dumps(missing))


if __name__ == "__main__":
    main()
