from dataclasses import replace

import pytest

from dynoform.domain import swarm_nodes
from dynoform.domain.data_hosts import DataHost, choose, choose_three
from dynoform.errors import UnavailableError

ONE = DataHost("one", "10.0.0.1", zone="a", platform=True)
TWO, THREE, FOUR = (
    DataHost(name, f"10.0.0.{number}", zone=zone, marked=True)
    for number, (name, zone) in enumerate((("two", "a"), ("three", "b"), ("four", "b")), start=2)
)


def places(*hosts: DataHost, **standbys: int) -> list[str]:
    """Names of the hosts of all members; a dash is the platform's."""
    return [each[0] if each else "-" for each in choose([ONE, *hosts], standbys)]


def test_all_are_on_the_platforms_host_where_no_other_is_marked() -> None:
    assert places() == places(replace(TWO, marked=False)) == []
    assert choose([replace(ONE, marked=True)], {}) == ()


def test_a_standby_is_on_another_host_and_etcd_on_three() -> None:
    assert places(TWO, THREE) == ["-", "three", "-", "three", "two"]
    assert choose([ONE, TWO], {})[1] == ("two", "10.0.0.2")


def test_of_two_hosts_the_one_with_the_address_has_two_members_of_etcd() -> None:
    assert places(TWO) == ["-", "two", "-", "two", "-"]


def test_of_three_that_all_have_data_one_is_on_the_platforms_host_and_two_are_not_where_there_are_so_many() -> None:
    assert choose_three([ONE], {}) == ()
    assert choose_three([ONE, TWO], {}) == (None, ("two", "10.0.0.2"), None)
    assert choose_three([ONE, TWO, THREE, FOUR], {"three": 1}) == (None, ("four", "10.0.0.4"), ("three", "10.0.0.3"))


def test_another_zone_comes_first_and_then_who_has_the_fewest() -> None:
    assert places(TWO, THREE, FOUR, two=0, three=2, four=1)[1] == "four"
    nowhere = [replace(host, zone="") for host in (TWO, THREE, FOUR)]
    assert places(*nowhere, three=1, four=1)[1] == "two"


def test_a_host_that_is_away_gets_none_and_without_any_it_waits() -> None:
    away = replace(THREE, ready=False)
    assert places(TWO, away)[1] == "two"
    with pytest.raises(UnavailableError) as caught:
        choose([ONE, away, replace(TWO, address="")], {})
    assert str(caught.value) == "hosts for standbys (three, two): none of them is ready — it is tried again"


def test_a_host_is_read_from_the_stacks_own_labels() -> None:
    labels = {"dynoform.mine.dyno-address": "10.0.0.3", "dynoform.mine.zone": "b", "dynoform.mine.data": "true"}
    node = {
        "Description": {"Hostname": "three"},
        "Spec": {"Labels": {**labels, "dynoform.other.platform": "true"}, "Availability": "active"},
        "Status": {"State": "ready"},
    }
    assert swarm_nodes.data_host(node, "mine") == THREE
    assert swarm_nodes.data_host({**node, "Status": {"State": "down"}}, "mine") == replace(THREE, ready=False)
    assert swarm_nodes.data_host(node, "third") == DataHost("three", "")


@pytest.mark.parametrize(
    ("availability", "label", "draining"),
    [("pause", "true", True), ("active", "true", True), ("drain", "true", False), ("pause", "false", False)],
)
def test_a_host_is_draining_from_its_label_until_all_of_it_is_gone(
    availability: str, label: str, draining: bool
) -> None:
    spec = {"Labels": {"dynoform.draining": label}, "Availability": availability}
    node = {"Description": {"Hostname": "three"}, "Spec": spec, "Status": {"State": "ready"}}
    assert swarm_nodes.data_host(node, "mine").draining is draining
