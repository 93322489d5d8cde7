"""Joins a swarm through the engine's API: stdin has the body of the request, with the token, as JSON."""

import http.client
import json
import socket
import sys

SECONDS = 60
SOCKET = "/var/run/docker.sock"
HTTP_OK = 200


def main() -> None:
    """Ends with the engine's own words on stderr when it does not let us in."""
    connection = http.client.HTTPConnection("localhost", timeout=SECONDS)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(SECONDS)
    connection.sock.connect(SOCKET)
    connection.request("POST", "/swarm/join", sys.stdin.read(), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != HTTP_OK:
        sys.exit(json.loads(said).get("message", f"status {answer.status}"))


if __name__ == "__main__":
    main()
