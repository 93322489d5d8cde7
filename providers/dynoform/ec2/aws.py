"""Calls to AWS: the only file that knows boto3. Every call is bounded in time, repeated, told about, cancellable.

boto3's own retries are off: they sleep without a word for up to minutes, and repeat what may have been heard.
"""

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import botocore.exceptions

from ..engine import Operation
from ..errors import ProviderError
from .answers import AwsError, Meaning, UnclearError, meaning, pause

ANSWER_SECONDS = 180.0
"""How long a throttled or unclear call is repeated."""
SETTLE_SECONDS = 60.0
"""How long after something was made AWS may say that it knows nothing of it: it is consistent in the end."""
LOOK_SECONDS = 10.0
"""How long what may have been made is looked for before it is made again."""
READING = ("describe_", "get_", "list_")
PAGE = 100
"""Things per page of a listing."""
NO_KEYS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.CredentialRetrievalError,
)
_MAKING = threading.Lock()
Found = TypeVar("Found")


class Aws:
    """AWS in one region, for one operation. Keys come from where boto3 finds them: environment, profile, instance."""

    def __init__(self, operation: Operation, region: str) -> None:
        """``operation`` is told what is waited for."""
        self.operation = operation
        self.region = region
        self._settled = 0.0

    def call(
        self,
        service: str,
        name: str,
        *,
        again: Callable[[AwsError], bool] = lambda error: False,
        gone: Any = None,
        repeatable: bool = True,
        seconds: float | None = None,
        **parameters: Any,
    ) -> Any:
        """Answer of the operation ``name`` (boto3's, such as ``run_instances``) of ``ec2``, ``iam`` or ``elbv2``.

        Parameters:
            again: tells of errors that pass, such as ``DependencyViolation``; see ``codes``.
            gone: the answer when what is named is not there; None raises.
            repeatable: whether the call may be heard twice. If not, ``UnclearError`` is raised when it may have been.
            seconds: how long it is repeated.
            parameters: AWS's own.

        Raises ``AwsError`` with AWS's code and message.
        """
        tries, end = 0, time.monotonic() + (ANSWER_SECONDS if seconds is None else seconds)
        while True:
            try:
                return self._heard(name, getattr(_client(service, self.region), name)(**parameters))
            except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as caught:
                error, found = _failure(f"{service} {name}", caught)
            passes = again(error) or found is Meaning.THROTTLED
            if found is Meaning.UNCLEAR and not passes and not repeatable:
                raise UnclearError(error.what, error.code, error.message)
            if found is Meaning.GONE and not passes:
                if gone is not None:
                    return gone
                passes = time.monotonic() < self._settled
            if not (passes or found is Meaning.UNCLEAR) or time.monotonic() > end:
                raise error
            tries += 1
            self.operation.status(f"asks AWS again: {error.what}: {error.why}")
            self.operation.pause(pause(tries))

    def _heard(self, name: str, answer: Any) -> Any:
        if not name.startswith(READING):
            self._settled = time.monotonic() + SETTLE_SECONDS
        return answer

    def once(self, service: str, name: str, done: str, **parameters: Any) -> Any:
        """The same for a change that may have been made already, which AWS then says by the code ``done``: None."""
        try:
            return self.call(service, name, **parameters)
        except AwsError as error:
            if error.code == done:
                return None
            raise

    def listed(self, service: str, name: str, key: str, **parameters: Any) -> Iterator[Any]:
        """All things under ``key`` of all pages of a listing."""
        client = _client(service, self.region)
        if service == "ec2" and client.can_paginate(name):
            parameters["MaxResults"] = PAGE
        while True:
            answer = self.call(service, name, **parameters)
            yield from answer.get(key, ())
            if token := answer.get("NextToken"):
                parameters["NextToken"] = token
            elif marker := answer.get("NextMarker"):
                parameters["Marker"] = marker
            else:
                return

    def obtained(self, what: str, find: Callable[[], Found | None], make: Callable[[], Found]) -> Found:
        """What is there, or else what is made; ``make`` is not called again while it may have been heard."""
        tries = 0
        end = time.monotonic() + ANSWER_SECONDS
        while True:
            found = find()
            if found is not None:
                return found
            try:
                return make()
            except UnclearError as error:
                if time.monotonic() > end:
                    raise
                self.operation.status(f"looks whether {what} was made: {error.why}")
            look_end = time.monotonic() + LOOK_SECONDS
            while time.monotonic() < look_end:
                tries += 1
                self.operation.pause(pause(tries))
                found = find()
                if found is not None:
                    return found

    def wait(self, what: str, look: Callable[[], tuple[Found | None, str]], seconds: float) -> Found:
        """The first thing that ``look`` finds; its second answer says how far it is. Raises when the time is up."""
        end, tries, started = self.operation.deadline(seconds), 0, time.monotonic()
        while True:
            found, shown = look()
            if found is not None:
                return found
            passed = time.monotonic() - started
            if time.monotonic() > end:
                raise ProviderError(what, f"is {shown} after {passed:.0f} s", "run 'up' again to go on waiting")
            self.operation.status(f"waits for {what}: {shown} ({passed:.0f} s)")
            tries += 1
            self.operation.pause(pause(tries))


def _client(service: str, region: str) -> Any:
    with _MAKING:  # making clients is not safe in several threads; using them is
        return _made_client(service, region, os.environ.get("AWS_ENDPOINT_URL", ""))


@functools.cache
def _made_client(service: str, region: str, endpoint: str) -> Any:
    """One client for each address; boto3 itself reads the address from the environment."""
    # Here, since they take long to load, and most stacks have nothing at EC2.
    import boto3
    import botocore.config

    config = botocore.config.Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=10,
        read_timeout=60,
        user_agent_extra="dynoform",
    )
    return boto3.session.Session(region_name=region).client(service, config=config)


def codes(*names: str) -> Callable[[AwsError], bool]:
    """For ``again``: whether an error has one of these codes."""
    return lambda error: error.code in names


def _failure(what: str, caught: Exception) -> tuple[AwsError, Meaning]:
    """The error in our words, and its meaning. Raises ``ProviderError`` where no call could be made at all."""
    if isinstance(caught, botocore.exceptions.ClientError):
        told = caught.response["Error"]
        code = str(told.get("Code") or "")
        found = meaning(code, int(caught.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0))
        return AwsError(what, code, told.get("Message") or found.value), found
    if isinstance(caught, NO_KEYS):
        why = str(caught).rstrip(".")
        raise ProviderError("AWS", why, "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from caught
    from botocore.parsers import ResponseParserError

    cut = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)
    # No answer, or one that is not AWS's own, such as the page of a proxy.
    if isinstance(caught, (*cut, ResponseParserError)):
        return AwsError(what, "", str(caught)), Meaning.UNCLEAR
    return AwsError(what, "", str(caught)), Meaning.FINAL
