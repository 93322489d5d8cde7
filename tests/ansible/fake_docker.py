#!/usr/bin/python3
"""A docker client of a swarm that is a file: enough of it for playbooks that drain, patch and remove hosts.

Each host has it as /usr/bin/docker; /swarm/state.json is shared by them, /etc/node-id says which node this one is.
Dynos leave a host that is marked as draining, as the dyno manager has it, while another one takes them. So do primaries
of databases: ``databases`` has by name the ``hosts`` of its servers, the number of its ``primary``, and the ``lag`` of
its standby in bytes, which takes over where it has none.
"""

import fcntl
import itertools
import json
import sys
from pathlib import Path
from typing import Any

STATE, OWN = Path("/swarm/state.json"), Path("/etc/node-id")


def node_ls(nodes: list[dict[str, Any]], words: list[str]) -> str:
    """Lines of ids or of JSON."""
    if "--filter" in words:
        key, _, value = words[words.index("--filter") + 1].removeprefix("node.label=").partition("=")
        nodes = [node for node in nodes if node["Spec"]["Labels"].get(key) == value]
    if "--quiet" in words:
        return "\n".join(node["ID"] for node in nodes)
    listed = [
        {
            "ID": node["ID"],
            "Hostname": node["Description"]["Hostname"],
            "Status": node["Status"]["State"].capitalize(),
            "Availability": node["Spec"]["Availability"].capitalize(),
            "ManagerStatus": node["manager"],
            "TLSStatus": "Ready",
        }
        for node in nodes
    ]
    if "json" in words[words.index("--format") + 1]:
        return "\n".join(json.dumps(each) for each in listed)
    return "\n".join(f"{each['Hostname']} {each['Status']} {each['TLSStatus']}" for each in listed)


def update(node: dict[str, Any], words: list[str]) -> None:
    """``node update``."""
    for option, value in itertools.pairwise(words):
        if option == "--availability":
            node["Spec"]["Availability"] = value
        elif option == "--label-add":
            key, _, added = value.partition("=")
            node["Spec"]["Labels"][key] = added
        elif option == "--label-rm":
            node["Spec"]["Labels"].pop(value, None)


def inspected(nodes: list[dict[str, Any]], words: list[str]) -> str:
    """``node inspect``."""
    if "--format" not in words:
        return json.dumps(nodes)
    wanted = words[words.index("--format") + 1]
    return str(nodes[0]["Status"]["State"]) if "Status" in wanted else json.dumps(nodes[0]["Spec"])


def services(state: dict[str, Any], words: list[str]) -> str:
    """``service ls`` and ``service inspect``; each is to run on a node, and does unless that is drained."""
    known = state.get("services", [])
    if words[1] == "inspect":
        return json.dumps([each for each in known if each["Spec"]["Name"] in words])
    if "label=dynoform.addon" in words:
        return "\n".join(each["Spec"]["Name"] for each in known if "dynoform.addon" in each["Spec"]["Labels"])
    if "--filter" in words:
        return ""  # none is a dyno's
    away = {node["ID"] for node in state["nodes"] if node["Spec"]["Availability"] == "drain"}
    assert words[words.index("--format") + 1] == "{{.Name}} {{.Replicas}}"
    return "\n".join(f"{each['Spec']['Name']} {int(each['on'] not in away)}/1" for each in known)


def server(state: dict[str, Any], node: dict[str, Any], words: list[str]) -> str:
    """``ps``, ``inspect`` and ``exec`` of the servers of databases that are on a node."""
    here = [
        (name, number)
        for name, database in state.get("databases", {}).items()
        for number, host in enumerate(database["hosts"], start=1)
        if host == node["Description"]["Hostname"] and node["Spec"]["Availability"] != "drain"
    ]
    if words[0] == "ps":
        return "\n".join(f"{name}-{number}" for name, number in here)
    if words[0] == "inspect":
        return json.dumps([described(state["databases"][name], name, number) for name, number in here])
    return patroni(state["nodes"], state["databases"][words[3].rpartition("-")[0]])


def described(database: dict[str, Any], name: str, number: int) -> dict[str, Any]:
    """A server's container."""
    own, other = database["hosts"][number - 1], database["hosts"][2 - number]
    told = [f"MEMBER_NAME=member-{number}", f"MEMBER_POSTGRES={own}:5432", f"MEMBER_OTHERS={other}:8008"]
    label = {"com.docker.swarm.service.name": f"test_addon-{name}-{number}"}
    return {"Id": f"{name}-{number}", "Config": {"Env": told, "Labels": label}}


def patroni(nodes: list[dict[str, Any]], database: dict[str, Any]) -> str:
    """What a server says of all, after the standby has taken over that could where the primary's host is draining."""
    at = {node["Description"]["Hostname"]: node["Spec"] for node in nodes}
    runs = [at[host]["Availability"] != "drain" for host in database["hosts"]]
    leaves = at[database["hosts"][database["primary"] - 1]]["Labels"].get("dynoform.draining")
    if leaves and not database["lag"] and all(runs):
        database["primary"] = 3 - database["primary"]
    standby = {"role": "replica" if database["lag"] else "sync_standby", "state": "streaming", "lag": database["lag"]}
    members = {database["primary"]: {"role": "leader", "state": "running"}, 3 - database["primary"]: standby}
    there = [{"name": f"member-{number}", **each} for number, each in members.items() if runs[number - 1]]
    return json.dumps({"members": there})


def main(words: list[str]) -> str:
    """What the command prints; every command is remembered."""
    with STATE.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        own = OWN.read_text().strip()
        said = answer(state, own, words)
        state["calls"].append([own, *words])
        file.seek(0)
        file.truncate()
        json.dump(state, file)
    return said


def answer(state: dict[str, Any], own: str, words: list[str]) -> str:
    """Changes the swarm."""
    nodes = state["nodes"]
    if words[0] == "node" and state.get("no_leader"):
        sys.exit("Error response from daemon: rpc error: code = Unknown desc = The swarm does not have a leader.")
    here = next((node for node in nodes if node["ID"] == own), None)
    named = [node for node in nodes if node["ID"] in words]
    if words[0] == "node" and words[1] != "ls" and not named:
        sys.exit("Error: No such node: not found")
    match words[:2]:
        case ["info", *_]:
            return own if here and not here.get("left") else ""
        case ["version", *_]:
            return "26.1.5"
        case ["ps", *_] if "label=com.docker.swarm.service.name" in words:
            return server(state, here, words) if here else ""
        case ["inspect" | "exec", *_]:
            return server(state, here, words) if here else ""
        case ["ps", *_]:
            others = [node for node in nodes if node["ID"] != own and node["Spec"]["Availability"] == "active"]
            leaves = here is not None and here["Spec"]["Labels"].get("dynoform.draining") and others
            return "" if leaves or here is None else "\n".join(here.get("dynos", []))
        case ["service", _]:
            return services(state, words)
        case ["node", "ls"]:
            return node_ls(nodes, words)
        case ["node", "inspect"]:
            return inspected(named, words)
        case ["node", "update"]:
            update(named[0], words)
        case ["node", "ps"]:
            return "router Running 3 seconds ago"
        case ["node", "demote"]:
            named[0]["manager"], named[0]["Spec"]["Role"] = "", "worker"
        case ["node", "rm"]:
            nodes.remove(named[0])
        case ["swarm", "leave"]:
            assert here is not None
            here["left"], here["Status"]["State"] = True, "down"
    return ""


if __name__ == "__main__":
    print(main(sys.argv[1:]))
