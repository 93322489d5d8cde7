"""The app's own tests: ``python -m unittest``."""

import os
import unittest
from unittest import mock

from app import app


class GreetingTest(unittest.TestCase):
    """What visitors see."""

    def test_it_greets_with_its_config_var(self) -> None:
        """GREETING decides how it greets."""
        with mock.patch.dict(os.environ, {"GREETING": "Hej", "DYNO": "web.2", "HEROKU_RELEASE_VERSION": "v7"}):
            answer = app.test_client().get("/")
        self.assertEqual((answer.status_code, answer.text), (200, "Hej from Python\ndyno web.2, release v7\n"))

    def test_it_does_not_speak_of_a_release_that_it_does_not_know(self) -> None:
        """Most apps have no dyno metadata."""
        with mock.patch.dict(os.environ, {"DYNO": "web.2"}):
            os.environ.pop("HEROKU_RELEASE_VERSION", None)
            self.assertTrue(app.test_client().get("/").text.endswith("\ndyno web.2\n"))

    def test_it_says_that_it_is_up(self) -> None:
        """The health check answers."""
        self.assertEqual(app.test_client().get("/health").text, "ok\n")

    def test_it_counts_no_visits_without_a_database(self) -> None:
        """DATABASE_URL is what it goes by."""
        with mock.patch.dict(os.environ):
            os.environ.pop("DATABASE_URL", None)
            self.assertEqual(app.test_client().get("/visits").text, "no database\n")


if __name__ == "__main__":
    unittest.main()
