"""Git's pre-receive hook: tells the API what is pushed, shows what the API says, and ends as the API wants.

Run by git as a program of its own, with the standard library's smallest part, so that it starts in no time. The API
is at the other end of a socket that git's processes were started with; nobody else can reach it.
"""

import json
import os
import socket
import sys


def main() -> int:
    """The hook's exit code: 0 lets git update the refs, 1 refuses the push, also when the API goes away."""
    connection = socket.socket(fileno=int(os.environ["DYNOFORM_HOOK"]))
    objects = {name: os.environ[name] for name in _OBJECTS if name in os.environ}
    connection.sendall(json.dumps({"updates": sys.stdin.read(), "objects": objects}).encode() + b"\n")
    while piece := connection.recv(65536):
        text, mark, verdict = piece.partition(b"\0")
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        if mark:
            return 0 if (verdict or connection.recv(1)) == b"+" else 1
    print(_INTERRUPTED)
    return 1


_INTERRUPTED = "\n!\tThe platform was interrupted: push again, and it says whether this was deployed\n"
_OBJECTS = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
"""Where the pushed objects are until the push has succeeded."""

if __name__ == "__main__":
    sys.exit(main())
