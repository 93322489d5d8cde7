"""ApiCertificate: the certificate of the API's names that an operator brings, handed to the platform by its API."""

from typing import ClassVar

from .app import READ_PATIENCE
from .engine import Operation
from .platform_api import NotFoundError, PlatformApi, UnansweredError
from .resource import Resource, Values

PATH = "/dynoform/certificates/api"
SERVER_NAME = "api.localhost"
"""The stack's own certificate is for this name, whatever is or is not yet served on the API's own names."""


class ApiCertificate(Resource):
    """Inputs ``api``, ``chain``, ``key``, both PEM. The routers take it over without an end of any connection."""

    required: ClassVar = {"api": dict, "chain": str, "key": str}
    secret: ClassVar = frozenset({"api", "key"})

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Hands it over."""
        return "api", self.update(operation, "api", {}, inputs)

    def read(self, operation: Operation, identifier: str, state: Values) -> Values | None:
        """As it is, when the platform answers; None when the stack's own is served."""
        try:
            with _api(operation, state, READ_PATIENCE) as api:
                api.get(PATH)
        except NotFoundError:
            return None
        except UnansweredError as error:
            operation.info(f"not read: {error}")
        return state

    def update(self, operation: Operation, identifier: str, olds: Values, news: Values) -> Values:
        """Hands another one over."""
        with _api(operation, news) as api:
            api.put(PATH, {"certificate_chain": news["chain"], "private_key": news["key"]})
        return news

    def delete(self, operation: Operation, identifier: str, state: Values) -> None:
        """Back to the stack's own."""
        with _api(operation, state) as api:
            api.delete(PATH)


def _api(operation: Operation, values: Values, patience: float | None = None) -> PlatformApi:
    api = values["api"]
    return PlatformApi(operation, api["url"], api["caCertPem"], api["token"], patience, SERVER_NAME)
