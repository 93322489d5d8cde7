"""Each resource at EC2, while each of its calls fails in each way: there is one of each thing, or none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from providers.dynoform.ec2.host import Ec2Host
from providers.dynoform.ec2.instance_profile import Ec2InstanceProfile
from providers.dynoform.ec2.key_pair import Ec2KeyPair
from providers.dynoform.ec2.load_balancer import Ec2LoadBalancer
from providers.dynoform.ec2.network import Ec2Network
from providers.dynoform.ec2.resource import Ec2Resource
from providers.dynoform.engine import Operation
from providers.dynoform.errors import PartialError, ProviderError
from tests.unit.providers.ec2 import declared
from tests.unit.providers.ec2.cloud import Cloud, Fault

Values = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A resource, its inputs on an empty cloud, and what there is once it is made."""

    kind: Ec2Resource
    inputs: Callable[[Cloud], Values]
    made: dict[str, int]


CASES = {
    "network": Case(Ec2Network(), declared.network, {"vpc": 1, "subnet": 1, "gateway": 1, "routes": 1, "group": 2}),
    "host": Case(Ec2Host(), declared.host, {"instance": 1, "address": 1}),
    "key": Case(Ec2KeyPair(), declared.key_pair, {"key": 1}),
    "profile": Case(Ec2InstanceProfile(), declared.instance_profile, {"role": 1, "profile": 1}),
    "balancer": Case(Ec2LoadBalancer(), declared.load_balancer, {"balancer": 1, "target": 2}),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
FIFTH = 5
each_fifth = pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.chaos) for n in range(1, FIFTH))])
"""Every fifth call of a create; the calls between them on demand."""


def calls_of_a_create(case: Case, cloud: Cloud, operation: Operation) -> int:
    """How many calls a create makes when all goes well."""
    inputs = fresh(case, cloud)
    case.kind.create(operation, inputs)
    return len(cloud.calls)


def fresh(case: Case, cloud: Cloud) -> Values:
    """Inputs on a cloud without anything of the resource."""
    cloud.reset()
    inputs = case.kind.check(case.inputs(cloud))
    cloud.calls.clear()
    return inputs


@each_case
@each_fifth
@pytest.mark.parametrize("heard", [False, True], ids=["not heard", "heard"])
@pytest.mark.slow
def test_a_create_that_fails_anywhere_leaves_nothing_that_is_not_known(
    case: Case, first: int, heard: bool, cloud: Cloud, operation: Operation
) -> None:
    """Refused at each call in turn. What is in the state is completed, or removed; without a state nothing is left."""
    for number in range(first, calls_of_a_create(case, cloud, operation), FIFTH):
        inputs = fresh(case, cloud)
        before = cloud.left()
        cloud.faults = [Fault("UnauthorizedOperation", status=403, after=number, heard=heard)]
        with pytest.raises(ProviderError, match=r"UnauthorizedOperation.*give these keys the permission") as caught:
            case.kind.create(operation, inputs)
        error = caught.value
        if not isinstance(error, PartialError):
            # The first thing itself was made, and its answer lost for good: the next create finds it.
            assert cloud.left() == before or heard, number
            identifier, values = case.kind.create(operation, inputs)
        else:
            assert case.kind.diff(error.outputs, inputs).changed, number
            identifier = error.identifier
            values = case.kind.update(operation, identifier, error.outputs, inputs)
        assert cloud.left() == {**before, **case.made}, number
        assert not case.kind.diff(values, inputs).changed, number
        case.kind.delete(operation, identifier, values)
        assert cloud.left() == before, number


@each_case
@each_fifth
@pytest.mark.slow
def test_what_a_failed_create_has_left_is_removed_by_destroy(
    case: Case, first: int, cloud: Cloud, operation: Operation
) -> None:
    for number in range(first, calls_of_a_create(case, cloud, operation), FIFTH):
        inputs = fresh(case, cloud)
        before = cloud.left()
        cloud.faults = [Fault("UnauthorizedOperation", status=403, after=number)]
        try:
            case.kind.create(operation, inputs)
        except PartialError as error:
            case.kind.delete(operation, error.identifier, error.outputs)
        except ProviderError:
            pass
        assert cloud.left() == before, number


@each_case
@each_fifth
@pytest.mark.slow
def test_a_create_that_was_killed_anywhere_is_found_again(
    case: Case, first: int, cloud: Cloud, operation: Operation
) -> None:
    """Killed after each call in turn: nothing is in the state, and the next create does not make it twice."""
    for number in range(first, calls_of_a_create(case, cloud, operation), FIFTH):
        inputs = fresh(case, cloud)
        before = cloud.left()
        cloud.faults = [Fault("UnauthorizedOperation", status=403, after=number, heard=True)]
        with pytest.raises(ProviderError):
            case.kind.create(operation, inputs)
        values = case.kind.create(operation, inputs)[1]
        assert cloud.left() == {**before, **case.made}, number
        assert not case.kind.diff(values, inputs).changed, number


@each_case
@pytest.mark.parametrize(
    ("code", "status", "heard"),
    [
        ("RequestLimitExceeded", 503, False),
        ("Throttling", 400, False),
        ("InternalError", 500, False),
        ("InternalError", 500, True),
        ("", 0, False),
        ("", 0, True),
    ],
    ids=["limit", "throttled", "broken", "broken after", "cut", "cut after"],
)
def test_every_call_is_made_again_until_it_is_answered(
    case: Case, code: str, status: int, heard: bool, cloud: Cloud, operation: Operation
) -> None:
    """Every third call or so is not answered, those that make things among them; there is one of each thing."""
    inputs = fresh(case, cloud)
    before = cloud.left()
    fault = Fault(code, status=status, chance=0.3, times=1000, heard=heard)
    cloud.faults = [fault]
    identifier, values = case.kind.create(operation, inputs)
    assert cloud.left() == {**before, **case.made}
    case.kind.delete(operation, identifier, values)
    assert fault.times < 1000
    assert cloud.left() == before


@each_case
def test_what_was_just_made_may_not_be_known_yet(case: Case, cloud: Cloud, operation: Operation) -> None:
    inputs = fresh(case, cloud)
    before = cloud.left()
    cloud.lag = 3
    identifier, values = case.kind.create(operation, inputs)
    assert cloud.left() == {**before, **case.made}
    assert case.kind.read(operation, identifier, values) == values


@each_case
def test_import_reads_what_is_there(case: Case, cloud: Cloud, operation: Operation) -> None:
    inputs = fresh(case, cloud)
    identifier = case.kind.create(operation, inputs)[0]
    imported = case.kind.read(operation, identifier, {})
    assert imported is not None
    chosen = ("imageName", "instanceTypes", "sshPort", "userData")
    declared_again = {name: value for name, value in inputs.items() if name not in chosen}
    assert {name: imported[name] for name in declared_again} == declared_again
    assert imported["drift"] == []
    assert case.kind.read(operation, f"{identifier[:-1]}{'1' if identifier[-1] != '1' else '2'}", {}) is None
    with pytest.raises(ProviderError, match="nothing: is no id of this resource — give <region>/<id>"):
        case.kind.read(operation, "nothing", {})


@each_case
def test_a_deleted_one_is_gone(case: Case, cloud: Cloud, operation: Operation) -> None:
    inputs = fresh(case, cloud)
    before = cloud.left()
    identifier, values = case.kind.create(operation, inputs)
    case.kind.delete(operation, identifier, values)
    assert cloud.left() == before
    assert case.kind.read(operation, identifier, values) is None
    case.kind.delete(operation, identifier, values)
