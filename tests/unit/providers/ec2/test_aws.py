"""Calls to AWS: pages, patience, and what an operator is told."""

from pathlib import Path
from typing import Any

import botocore.session
import pytest

from providers.dynoform.ec2 import aws as aws_module
from providers.dynoform.ec2.answers import AwsError, Meaning, meaning, next_step, pause
from providers.dynoform.ec2.aws import Aws
from providers.dynoform.ec2.ownership import short_name, token
from providers.dynoform.engine import Operation
from providers.dynoform.errors import ProviderError
from tests.unit.providers.conftest import Lines
from tests.unit.providers.ec2 import declared
from tests.unit.providers.ec2.cloud import REGION, Cloud, Fault


def test_all_pages_of_a_listing_are_read(cloud: Cloud, operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"ImageId": declared.image(cloud, "other"), "InstanceType": "t3.large", "MinCount": 1, "MaxCount": 1}
    for _ in range(7):
        cloud.client("ec2").run_instances(**asked)
    monkeypatch.setattr(aws_module, "PAGE", 5)
    found = list(Aws(operation, REGION).listed("ec2", "describe_instances", "Reservations"))
    assert len(found) == 7
    assert cloud.calls == ["DescribeInstances", "DescribeInstances"]


def test_what_is_waited_for_is_told(cloud: Cloud, operation: Operation, lines: Lines) -> None:
    cloud.faults = [Fault("RequestLimitExceeded", status=503)]
    Aws(operation, REGION).call("ec2", "describe_vpcs")
    assert lines.status == ["asks AWS again: ec2 describe_vpcs: RequestLimitExceeded, says AWS (RequestLimitExceeded)"]


def test_patience_ends_with_advice(cloud: Cloud, operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_module, "ANSWER_SECONDS", 0.0)
    cloud.faults = [Fault("Throttling", times=1000)]
    with pytest.raises(AwsError) as caught:
        Aws(operation, REGION).call("ec2", "describe_vpcs")
    assert str(caught.value) == (
        "ec2 describe_vpcs: Throttling, says AWS (Throttling) — others ask AWS a lot with the same account: "
        "wait a while, then run 'up' again to continue"
    )


def test_a_cancelled_operation_waits_no_longer(cloud: Cloud, operation: Operation) -> None:
    operation.cancelled.set()
    cloud.faults = [Fault("Throttling")]
    with pytest.raises(ProviderError, match="prod-net: was cancelled — run it again to continue where it stopped"):
        Aws(operation, REGION).call("ec2", "describe_vpcs")


def test_missing_keys_are_told(cloud: Cloud, operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    aws_module._made_client.cache_clear()
    with pytest.raises(ProviderError) as caught:
        Aws(operation, REGION).call("ec2", "describe_vpcs")
    aws_module._made_client.cache_clear()
    assert str(caught.value) == (
        "AWS: Unable to locate credentials — set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


@pytest.mark.parametrize(
    ("code", "status", "found"),
    [
        ("RequestLimitExceeded", 503, Meaning.THROTTLED),
        ("InternalError", 500, Meaning.UNCLEAR),
        ("", 502, Meaning.UNCLEAR),
        ("InsufficientInstanceCapacity", 500, Meaning.FINAL),
        ("InvalidVpcID.NotFound", 400, Meaning.GONE),
        ("NoSuchEntity", 404, Meaning.GONE),
        ("LoadBalancerNotFound", 400, Meaning.GONE),
        ("VcpuLimitExceeded", 400, Meaning.FINAL),
        ("UnauthorizedOperation", 403, Meaning.FINAL),
    ],
)
def test_what_an_error_means(code: str, status: int, found: Meaning) -> None:
    assert meaning(code, status) is found


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "see that AWS_PROFILE, or the keys in the environment, are right and have not expired"),
        (
            "UnauthorizedOperation",
            "give these keys the permission, docs/how-to/run-on-ec2.md names all that are needed",
        ),
        ("AddressLimitExceeded", "have AWS raise the limit (Service Quotas), then run 'up' again to continue"),
        ("InvalidParameterValue", ""),
    ],
)
def test_what_the_operator_can_do(code: str, words: str) -> None:
    assert next_step(code) == words


def test_pauses_grow_to_a_limit_and_differ() -> None:
    assert all(0 < pause(1) <= 0.5 for _ in range(50))
    assert max(pause(40) for _ in range(200)) <= 8.0
    assert len({pause(5) for _ in range(10)}) == 10


def test_tokens_and_names_are_what_aws_takes() -> None:
    assert token("a", 1) == token("a", 1) != token("a", 2)
    assert short_name("prod-ec2-balancer") == "prod-ec2-balancer"
    long = short_name("production-east-ec2-balancer", "443-8443")
    assert len(long) <= 32 and long != short_name("production-east-ec2-balancer", "443-8444")


def test_the_how_to_names_every_call_that_is_made_of_ec2() -> None:
    """Every operation that the provider's source names, unless it only reads."""
    folder = Path(aws_module.__file__).parent
    text = "".join(path.read_text() for path in folder.glob("*.py"))
    document = (folder.parents[2] / "docs/how-to/run-on-ec2.md").read_text()
    model: Any = botocore.session.get_session().get_service_model("ec2")
    names = {botocore.xform_name(name): name for name in model.operation_names}
    used = {names[word] for word in names if f'"{word}"' in text and not word.startswith("describe_")}
    assert used
    assert [name for name in sorted(used) if f"`{name}`" not in document] == []
