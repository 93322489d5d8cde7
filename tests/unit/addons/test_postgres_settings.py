"""What the platform says to a PostgreSQL besides what was asked."""

import subprocess

from dynoform.addons import postgres_settings
from dynoform.cli.places import CHECKOUT


def test_programs_in_the_image_speak_to_a_users_database_as_the_worker_does() -> None:
    script = CHECKOUT / "images/postgres/superuser"
    words = ["bash", "-c", f'source "{script}" && printf %s "$PGOPTIONS"']
    said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    assert postgres_settings.connection("shop") == f"dbname=shop options='{said}'"
