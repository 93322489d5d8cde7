"""A small web app: greets, and says which dyno of which release answered."""

import os

from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
def greet() -> Response:
    """Greet with the config var GREETING."""
    greeting = os.environ.get("GREETING", "Hello")
    return Response(f"{greeting} from Python\n{whereabouts()}\n", mimetype="text/plain")


@app.get("/health")
def health() -> Response:
    """Say that the app is up."""
    return Response("ok\n", mimetype="text/plain")


def whereabouts() -> str:
    """The dyno's name and, where the platform tells it, the release: ``dyno web.1, release v3``."""
    dyno = os.environ.get("DYNO", "none")
    release = os.environ.get("HEROKU_RELEASE_VERSION", "unknown")
    return f"dyno {dyno}, release {release}"
