"""A stack's configuration, checked against Pulumi.yaml's ``config`` block before anything runs."""

import difflib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from dynoform.cli.places import PROJECT
from dynoform.domain import backup_repositories, ec2_settings, host_settings, stack_settings
from dynoform.errors import InvalidInputError, NotFoundError

KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
READ_FIRST = ("httpPort", "httpsPort", "listenAddress", "platformPort", "dynoSubnet", "platformSubnet", "hosts", "ec2")


@dataclass(frozen=True)
class StackSettings:
    """Values by key without the project's name, defaults filled in; `file` is where the stack's own come from."""

    file: Path
    values: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A value as text, empty when there is none."""
        return str(self.values.get(key, ""))

    @property
    def hosts(self) -> Mapping[str, Any]:
        """The stack's hosts by name, as in the settings; none is this machine."""
        return dict(self.values.get("hosts") or {})

    def port(self, key: str) -> int:
        """A port that `load` has checked."""
        return int(self.values[key])


def load(root: Path, stack: str, file: Path | None = None) -> StackSettings:
    """The settings of `stack`, from ``Pulumi.<stack>.yaml`` in `root` or from `file`.

    Raises `NotFoundError` when there is no such file, `InvalidInputError` naming the first key that is unknown, of the
    wrong type, or breaks a rule of `stack_settings`.
    """
    place = file or root / f"Pulumi.{stack}.yaml"
    if not place.exists():
        own = "httpPort, httpsPort, platformPort, execAddress, dynoSubnet and platformSubnet"
        next_step = f"write one, with {own} of its own: {place.name}"
        raise NotFoundError(f"stack {stack}", f"there is no {place}", next_step)
    declared = _mapping(root / "Pulumi.yaml", "config")
    values = {key: known["default"] for key, known in declared.items() if "default" in known}
    for name, value in _mapping(place, "config").items():
        namespace, _, key = str(name).rpartition(":")
        if namespace in ("", PROJECT):
            _check(f"{place.name}: {PROJECT}:{key}", key, value, declared)
            values[key] = value
    found = StackSettings(place, values)
    try:
        _check_rules(found)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place.name}: {PROJECT}:{error.what}", error.why, error.next_step) from error
    return found


def put(file: Path, values: Mapping[str, str]) -> None:
    """Set keys in a stack's own file, as ``pulumi config set`` does, and leave all else in it as it is.

    Raises `InvalidInputError` when the file is written in a way that this cannot be done in.
    """
    before = _mapping(file, "config")
    lines = file.read_text(encoding="utf-8").splitlines()
    names = [f"{PROJECT}:{key}" for key in values]
    lines = [line for line in lines if line.strip().partition(": ")[0].strip("\"'") not in names]
    if "config:" not in lines:
        lines.append("config:")
    start = lines.index("config:") + 1
    # Quoted: some are all digits.
    lines[start:start] = [f'  {PROJECT}:{key}: "{value}"' for key, value in values.items()]
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    wanted = before | {f"{PROJECT}:{key}": value for key, value in values.items()}
    try:
        written = _mapping(fresh, "config") == wanted
        if written:
            shutil.copymode(file, fresh)
            fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    if not written:
        text = ", ".join(f"{PROJECT}:{key}: {value}" for key, value in values.items())
        raise InvalidInputError(str(file), "cannot be changed here without changing more", f"write into it: {text}")


def _check_rules(found: StackSettings) -> None:
    stack_settings.check_ports(*(found.port(key) for key in ("httpPort", "httpsPort", "platformPort")))
    stack_settings.check_subnets(found.text("dynoSubnet"), found.text("platformSubnet"))
    stack_settings.check_listen_address(found.text("listenAddress"))
    gateway = stack_settings.gateway(stack_settings.subnet("dynoSubnet", found.text("dynoSubnet")))
    router_ports = [found.port("httpPort"), found.port("httpsPort")]
    stack_settings.check_exec_address(found.text("execAddress"), [found.text("listenAddress"), gateway], router_ports)
    subnets = found.text("dynoSubnet"), found.text("platformSubnet")
    rules: dict[str, Callable[[Any], object]] = {
        "domain": stack_settings.check_domain,
        "email": stack_settings.check_email,
        "apps": stack_settings.check_apps,
        "routing": stack_settings.check_routing,
        "metricsPort": partial(_check_metrics_port, found),
        backup_repositories.SETTING: backup_repositories.check,
        "oldStacks": stack_settings.check_old_stacks,
        "proxyProtocolFrom": stack_settings.proxy_networks,
        "drainNetworks": lambda networks: stack_settings.check_drain_networks(networks, *subnets),
    }
    for key in stack_settings.UPDATES.values():
        rules[key] = partial(stack_settings.check_updates, key)
    for key, rule in rules.items():
        if not _is_secure(found.values[key]):
            rule(found.values[key])
    ec2 = found.values["ec2"] or {}
    ec2_settings.check(ec2, found.hosts)
    addressed = ec2_settings.addressed(ec2, found.hosts)
    host_settings.check(addressed)
    if not _is_secure(found.values["routerAddresses"]):
        host_settings.router_addresses(found.text("routerAddresses"), addressed)
    if not _is_secure(found.values["storeStandby"]):
        named = host_settings.store_standby(found.text("storeStandby"), addressed)
        http, https, platform = (found.port(key) for key in ("httpPort", "httpsPort", "platformPort"))
        stack_settings.check_standby_ports(http, https, platform, found.port("metricsPort"), wanted=bool(named))
    if not _is_secure(found.values["domain"]):
        host_settings.check_reach(found.hosts, found.text("domain"), found.text("listenAddress"))


def _check_metrics_port(found: StackSettings, value: Any) -> None:
    http, https, platform = (found.port(key) for key in ("httpPort", "httpsPort", "platformPort"))
    stack_settings.check_metrics_port(int(value), http, https, platform)


def _mapping(file: Path, section: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InvalidInputError(str(file), f"is not YAML: {_first_line(error)}", "mend the file") from error
    found = content.get(section) or {} if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise InvalidInputError(str(file), f"{section} must be a map of keys", "mend the file")
    return found


def _check(where: str, key: str, value: Any, declared: Mapping[str, Any]) -> None:
    if key not in declared:
        near = difflib.get_close_matches(key, declared, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(declared))}"
        raise InvalidInputError(where, "is not a setting", hint)
    if _is_secure(value):
        if key in READ_FIRST:
            raise InvalidInputError(where, "is encrypted, but needed before anything runs", "set it without --secret")
        return  # only the program can see its type
    kind = declared[key].get("type", "string")
    value = _read(kind, value)
    number_like = isinstance(value, bool) and kind in ("integer", "number")
    if not isinstance(value, KINDS.get(kind, (object,))) or number_like:
        why = f"must be {_article(kind)}, but is {value!r}"
        raise InvalidInputError(where, why, f"set it with: pulumi config set {key} <value>")


def _is_secure(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _read(kind: str, value: Any) -> Any:
    """`value` as ``pulumi config set`` means it: that writes numbers and booleans as text."""
    if isinstance(value, str) and kind in ("integer", "number", "boolean"):
        read = yaml.safe_load(value) if value.strip() else value
        return value if isinstance(read, (dict, list)) else read
    return value


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())
