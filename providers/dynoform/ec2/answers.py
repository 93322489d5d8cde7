"""What an error of AWS means for the caller: try again, look again, or give up, and what to tell then.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

import random
import re
from enum import Enum

from ..errors import ProviderError

THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
CAPACITY = frozenset({"InsufficientHostCapacity", "InsufficientInstanceCapacity", "Unsupported"})
"""No instance of this type is to be had in this zone; ``Unsupported`` says that the zone never has one."""
TRANSIENT = frozenset({"InternalError", "InternalFailure", "RequestTimeout", "ServiceUnavailable", "Unavailable"})
NO_ACCESS = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
NOT_KNOWN = frozenset(
    {"AuthFailure", "ExpiredToken", "InvalidClientTokenId", "RequestExpired", "SignatureDoesNotMatch"}
)
_GONE = re.compile(r"Invalid\w+\.NotFound|NoSuchEntity|\w+NotFound|Gateway\.NotAttached")
_LIMIT = re.compile(r"\w*LimitExceeded|\w*LimitExceededException|TooMany\w+|VcpuLimitExceeded")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two tries."""


class Meaning(Enum):
    """What to do about an error."""

    THROTTLED = "AWS takes no more requests just now"
    """It was not heard: the same call can be made again."""
    UNCLEAR = "AWS gave no clear answer"
    """It may have been heard."""
    GONE = "not found"
    """What was named is not there, or not known everywhere yet."""
    FINAL = "refused"


class AwsError(ProviderError):
    """AWS refused a call. ``code`` is its own word for why, such as ``InsufficientInstanceCapacity``."""

    def __init__(self, what: str, code: str, why: str) -> None:
        """``what`` names the call, ``why`` is AWS's message."""
        super().__init__(what, f"{why.strip().rstrip('.')} ({code})" if code else why, next_step(code))
        self.code, self.message = code, why


class UnclearError(AwsError):
    """Nobody knows whether a call was heard: look for what it should have made before making it again."""


def meaning(code: str, status: int) -> Meaning:
    """Meaning of an error code of AWS, or of the bare HTTP ``status`` of an answer that has none."""
    if code in THROTTLED:
        return Meaning.THROTTLED
    if code in CAPACITY or _LIMIT.fullmatch(code):
        return Meaning.FINAL
    if code in TRANSIENT or status >= 500:
        return Meaning.UNCLEAR
    return Meaning.GONE if _GONE.fullmatch(code) else Meaning.FINAL


def next_step(code: str) -> str:
    """What the operator can do about an error; empty where the message itself has to do."""
    if code in NOT_KNOWN:
        return "see that AWS_PROFILE, or the keys in the environment, are right and have not expired"
    if code in NO_ACCESS:
        return "give these keys the permission, docs/how-to/run-on-ec2.md names all that are needed"
    if code in THROTTLED:
        return "others ask AWS a lot with the same account: wait a while, then run 'up' again to continue"
    if code in CAPACITY:
        return "give the host more instanceTypes, or a zone that has them, then run 'up' again"
    if _LIMIT.fullmatch(code):
        return "have AWS raise the limit (Service Quotas), then run 'up' again to continue"
    return ""


def pause(tries: int) -> float:
    """Seconds to wait after so many tries (1 or more): doubling up to a limit, all of it by chance but a tenth."""
    ceiling: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 10))
    return ceiling * random.uniform(0.1, 1.0)  # noqa: S311 - jitter
