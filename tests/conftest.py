"""What all tests share."""

import hypothesis
import pytest

# How long an example takes tells what else the machine is busy with.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record", action="store_true", help="write the recorded trees and texts anew instead of comparing"
    )
