"""``bench``: named measurements, each with its limit from the project's goals, and the page they are written to."""
