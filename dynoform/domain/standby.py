"""A database with a standby: how its servers stand, as ``pg:info`` shows it. Pure.

What they say is Patroni's (https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoint), the words
are Heroku's (https://devcenter.heroku.com/articles/heroku-postgres-ha).
"""

import json
from collections.abc import Mapping
from typing import Any

from dynoform.domain.data_hosts import DataHost
from dynoform.errors import UnavailableError

AVAILABLE, UNAVAILABLE = "Available", "Temporarily Unavailable"
_LEADER, _READY = "leader", "sync_standby"


def read(said: str) -> dict[str, Any]:
    """What is kept of what Patroni says: ``ready``, whether a standby has all that is acknowledged; whether there is
    one at all (``there``), on how many ``hosts`` they are, how many bytes it is ``behind`` (None where nobody knows).

    Raises ``UnavailableError`` for anything else than that.
    """
    try:
        members = json.loads(said)["members"]
        others = [each for each in members if each["role"] != _LEADER and each["state"] != "stopped"]
        ready = [each for each in others if _is_ready(each)]
        lags = [each["lag"] for each in others if isinstance(each.get("lag"), int)]
        return {
            "ready": bool(ready) and any(each["role"] == _LEADER for each in members),
            "there": bool(others),
            "hosts": len({each.get("host") for each in members}),
            "behind": min(lags) if lags else None,
        }
    except (ValueError, KeyError, TypeError) as error:
        raise _unread() from error


def takes_over(said: str, hosts: Mapping[str, DataHost]) -> bool:
    """Whether the standby is to take over before the primary's host goes: it has all that is acknowledged, elsewhere.

    ``hosts`` are those of the servers, by the servers' names; one that the swarm does not know is left out.

    Raises ``UnavailableError`` for what ``read`` does.
    """
    try:
        members = json.loads(said)["members"]
        leaves = any(each["role"] == _LEADER and _is_draining(hosts.get(each["name"])) for each in members)
        ready = [hosts.get(each["name"]) for each in members if _is_ready(each)]
    except (ValueError, KeyError, TypeError) as error:
        raise _unread() from error
    return leaves and any(host is not None and host.ready and not host.draining for host in ready)


def _is_ready(member: Mapping[str, Any]) -> bool:
    return bool(member["role"] == _READY and member["state"] == "streaming")


def _is_draining(host: DataHost | None) -> bool:
    return host is not None and host.draining


def _unread() -> UnavailableError:
    return UnavailableError("Patroni", "says nothing that can be read", "it is tried again")


def handed_over(name: str) -> str:
    """What the logs of a database's apps are told then."""
    return f"{name}: the host of its primary is drained; the standby has taken over, which had all that is acknowledged"


def lines(state: Mapping[str, Any] | None) -> dict[str, str]:
    """What ``pg:info`` prints of it; None is of one that does not answer."""
    if not state:
        return {"HA Status": UNAVAILABLE}
    if not state["there"]:
        return {"HA Status": UNAVAILABLE, "Standby": "None at the moment"}
    where = "on another host" if state["hosts"] > 1 else "on the same host"
    if state["ready"]:
        return {"HA Status": AVAILABLE, "Standby": f"Has all that is acknowledged, {where}"}
    return {"HA Status": UNAVAILABLE, "Standby": f"Catches up, {where}"}
