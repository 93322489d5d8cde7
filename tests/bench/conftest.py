"""What measurements with containers need of the host."""

from tests.integration.conftest import base_image

__all__ = ["base_image"]
