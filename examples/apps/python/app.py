"""A small web app: greets, says which dyno of which release answered, and counts visits where it has a database."""

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


@app.get("/visits")
def visits() -> Response:
    """Count this visit in the database that DATABASE_URL leads to."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        return Response("no database\n", mimetype="text/plain")
    import psycopg  # an app without a database does not keep the driver in memory

    with psycopg.connect(url, connect_timeout=5) as database:
        database.execute("CREATE TABLE IF NOT EXISTS visits (at timestamptz NOT NULL DEFAULT now())")
        database.execute("INSERT INTO visits DEFAULT VALUES")
        row = database.execute("SELECT count(*) FROM visits").fetchone()
    return Response(f"visit {row[0] if row else 0}\n", mimetype="text/plain")


def whereabouts() -> str:
    """The dyno's name and, of apps that have dyno metadata, the release: ``dyno web.1, release v3``."""
    dyno, release = os.environ.get("DYNO", "none"), os.environ.get("HEROKU_RELEASE_VERSION")
    return f"dyno {dyno}, release {release}" if release else f"dyno {dyno}"
