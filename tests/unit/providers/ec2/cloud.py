"""moto's server over HTTP, with the bad luck of the real thing put before it.

moto is consistent at once, never throttles, never runs out of hosts, and takes a ``ClientToken`` for nothing: what
it lacks of EC2 in that is here.
"""

import io
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import boto3
from moto import settings as moto_settings
from moto.moto_api._internal.models import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

REGION = "eu-central-1"
ZONES = tuple(f"{REGION}{letter}" for letter in "abc")
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
NOT_FOUND = {
    "vpc": "InvalidVpcID.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "sg": "InvalidGroup.NotFound",
    "igw": "InvalidInternetGatewayID.NotFound",
    "rtb": "InvalidRouteTableID.NotFound",
    "i": "InvalidInstanceID.NotFound",
    "eipalloc": "InvalidAllocationID.NotFound",
}
ID = re.compile(r"<(?:\w+Id)>((?:vpc|subnet|sg|igw|rtb|i|eipalloc)-[0-9a-f]+)<")
QUERY_ERROR = "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"


@dataclass
class Fault:
    """What happens to a call.

    Parameters:
        code: AWS's error code; empty cuts the connection.
        action: the call's name; empty for any.
        status: of HTTP.
        times: how often.
        after: how many such calls go well before.
        chance: how likely it happens to each such call; the same calls each time.
        heard: whether the call is carried out, and only its answer is lost.
        where: text that is in the call's parameters.
        message: what AWS says; its code by itself when empty.
    """

    code: str
    action: str = ""
    status: int = 400
    times: int = 1
    after: int = 0
    chance: float = 1.0
    heard: bool = False
    where: str = ""
    message: str = ""
    seen: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(4))  # noqa: S311 - bad luck, no secret

    def hits(self, action: str, body: str) -> bool:
        """Whether it happens to this call; counts."""
        if self.times <= 0 or self.action not in ("", action) or self.where not in body:
            return False
        self.seen += 1
        if self.seen <= self.after or self.dice.random() >= self.chance:
            return False
        self.times -= 1
        return True


@dataclass
class Cloud:
    """The WSGI application in front of moto's; also looks into moto for the tests."""

    app: Any
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    bodies: list[dict[str, str]] = field(default_factory=list)
    lag: int = 0
    """How often what was made is said not to be there afterwards."""
    _hidden: Counter[str] = field(default_factory=Counter)
    _runs: dict[str, tuple[str, str]] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if "dynoform" not in environ.get("HTTP_USER_AGENT", ""):
            return list(self.app(environ, start_response))
        call = dict(parse_qsl(body.decode()))
        action = call.get("Action", "")
        with self._lock:
            self.calls.append(action)
            self.bodies.append(call)
            fault = next((each for each in self.faults if each.hits(action, body.decode())), None)
            if fault and not fault.heard:
                return self._refused(environ, start_response, fault)
            if hidden := next((value for value in call.values() if self._hidden.get(value, 0) > 0), ""):
                self._hidden[hidden] -= 1
                code = NOT_FOUND[hidden.partition("-")[0]]
                return self._refused(environ, start_response, Fault(code))
            answer = self._answer(environ, call, action)
            if fault:
                return self._refused(environ, start_response, fault)
        status, headers, text = answer
        start_response(status, headers)
        return [text]

    def _answer(self, environ: dict[str, Any], call: dict[str, str], action: str) -> tuple[str, Any, bytes]:
        token = call.get("ClientToken", "")
        same = str(call)
        if action == "RunInstances" and token in self._runs:
            instance, before = self._runs[token]
            if before != same:
                text = QUERY_ERROR.format(code="IdempotentParameterMismatch", message="another request has this token")
                return "400 Bad Request", [("Content-Type", "text/xml")], ec2_error(text)
            return self._instance_again(environ, instance)
        told: dict[str, Any] = {}

        def start(status: str, headers: Any, *_: Any) -> None:
            told.update(status=status, headers=headers)

        try:
            text = b"".join(self.app(environ, start))
        except ValueError:
            # moto stumbles over a role that is out already.
            if action != "RemoveRoleFromInstanceProfile":
                raise
            absent = ec2_error(QUERY_ERROR.format(code="NoSuchEntity", message="it is out already"))
            return "404 Not Found", [("Content-Type", "text/xml")], absent
        if told["status"].startswith("200") and action.startswith(("Create", "Run", "Allocate")):
            made = ID.findall(text.decode())
            for identifier in set(made) - set(call.values()):
                self._hidden.setdefault(identifier, self.lag)
            if action == "RunInstances" and token:
                self._runs[token] = (next(each for each in made if each.startswith("i-")), same)
        return told["status"], told["headers"], text

    def _instance_again(self, environ: dict[str, Any], instance: str) -> tuple[str, Any, bytes]:
        found = self.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        state = found["State"]["Name"]
        text = (
            "<RunInstancesResponse><instancesSet><item>"
            f"<instanceId>{instance}</instanceId><instanceState><name>{state}</name></instanceState>"
            "</item></instancesSet></RunInstancesResponse>"
        )
        return "200 OK", [("Content-Type", "text/xml")], text.encode()

    def _refused(self, environ: dict[str, Any], start: Callable[..., Any], fault: Fault) -> Iterable[bytes]:
        if not fault.code:
            start("200 OK", [])
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        text = QUERY_ERROR.format(code=fault.code, message=fault.message or f"{fault.code}, says AWS")
        start(f"{fault.status} Fault", [("Content-Type", "text/xml")])
        return [ec2_error(text)]

    def client(self, service: str) -> Any:
        """A client that asks without any bad luck of the tests' own; one of each, since making one takes long."""
        if service not in self._clients:
            keys = {"aws_access_key_id": "id", "aws_secret_access_key": "key"}
            self._clients[service] = boto3.client(service, REGION, endpoint_url=self.url, **keys)
        return self._clients[service]

    def reset(self) -> None:
        """Nothing exists any more, and nothing happens to calls."""
        moto_api_backend.reset()
        self.faults, self.calls, self.bodies, self.lag = [], [], [], 0
        self._hidden.clear()
        self._runs.clear()

    def vpcs(self) -> list[Any]:
        """Those that the tests made."""
        found = self.client("ec2").describe_vpcs()["Vpcs"]
        return [vpc for vpc in found if not vpc["IsDefault"]]

    def left(self) -> dict[str, int]:
        """How many things there are of each kind, besides those that an account has from its first day."""
        ec2, iam, elb = self.client("ec2"), self.client("iam"), self.client("elbv2")
        own = [{"Name": "tag-key", "Values": ["dynoform:stack"]}]
        alive = [*own, {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
        reservations = ec2.describe_instances(Filters=alive)["Reservations"]
        counts = {
            "vpc": len(self.vpcs()),
            "subnet": len(ec2.describe_subnets(Filters=own)["Subnets"]),
            "gateway": len(ec2.describe_internet_gateways()["InternetGateways"]),
            "routes": len(ec2.describe_route_tables(Filters=own)["RouteTables"]),
            "group": len(ec2.describe_security_groups(Filters=own)["SecurityGroups"]),
            "key": len(ec2.describe_key_pairs()["KeyPairs"]),
            "instance": sum(len(each["Instances"]) for each in reservations),
            "address": len(ec2.describe_addresses()["Addresses"]),
            "role": len(iam.list_roles()["Roles"]),
            "profile": len(iam.list_instance_profiles()["InstanceProfiles"]),
            "balancer": len(elb.describe_load_balancers()["LoadBalancers"]),
            "target": len(elb.describe_target_groups()["TargetGroups"]),
        }
        return {kind: count for kind, count in counts.items() if count}


def ec2_error(text: str) -> bytes:
    """The error in EC2's form and in that of the other services: each parser finds its own."""
    inner = text.removeprefix("<ErrorResponse>").removesuffix("</ErrorResponse>")
    return f"<Response><Errors>{inner}</Errors>{inner}<RequestID>r</RequestID></Response>".encode()


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: Any, **__: Any) -> None:
        """Nothing."""


def serve() -> tuple[Cloud, BaseWSGIServer]:
    """A cloud that answers at ``Cloud.url``, and the server to shut down."""
    moto_settings.TEST_SERVER_MODE = False
    # More than a thousand, made anew at each reset; tests register theirs.
    moto_settings.ec2_load_default_amis = lambda: False
    cloud = Cloud(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, cloud, threaded=True, request_handler=_Quiet)
    cloud.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return cloud, server
