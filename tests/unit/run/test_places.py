import uuid
from dataclasses import replace

from dynoform.domain import dyno_container
from dynoform.reconcile import specification
from dynoform.run import places
from dynoform.run.rows import Run
from tests.unit.reconcile.test_specification import SHOP

ONE = Run(
    id=uuid.UUID(int=7), app_id=SHOP.app_id, app_name="shop", version=5, type="run", number=1234, size=SHOP.size,
    command="rake x", variables=b"", digest="0" * 64, tty=True, over_ssh=False, state="starting",
    inside_id=None, image=SHOP.image, own_image=False,
    process_types={"rake": "bundle exec rake"}, config=b"", age=0.0, time_to_live=60,
)  # fmt: skip


def test_a_one_off_dyno_is_contained_as_one_of_the_formation_is() -> None:
    template = specification.service(SHOP, "secret", None)["task_template"]
    formation, limits = template["ContainerSpec"], template["Resources"]["Limits"]
    made = places.description("local", "local_dynos", ONE)
    host = made["HostConfig"]
    assert (made["User"], host["CapDrop"], host["Init"]) == (
        formation["User"],
        formation["CapabilityDrop"],
        formation["Init"],
    )
    assert {"MemoryBytes": host["Memory"], "Pids": host["PidsLimit"]} == limits
    assert host["Ulimits"] == formation["Ulimits"]
    adjusted = dyno_container.limits(SHOP.size).adjustable
    assert adjusted.items() <= host.items(), "what the agent gives the dynos that Swarm makes"
    assert (host["SecurityOpt"], host["OomScoreAdj"]) == (["no-new-privileges:true"], 500)
    assert (made["Image"], host["NetworkMode"]) == (formation["Image"], SHOP.network)
    assert made["Env"] == ["PORT=5000", "DYNO=run.1234"]
    assert made["Cmd"] == ["/opt/dynoform/dyno", "bundle exec rake x"]
    assert "Privileged" not in host
    assert "Binds" not in host


def test_the_reconciler_does_not_know_it_and_the_log_agent_does() -> None:
    made = places.description("local", "local_dynos", replace(ONE, digest=None, tty=False))
    assert "dynoform.dyno-id" not in made["Labels"]
    assert made["Labels"]["dynoform.run-id"] == str(ONE.id)
    # Of its image's: it is no service's.
    assert (made["Labels"]["com.docker.swarm.service.name"], made["Labels"]["com.docker.swarm.service.id"]) == ("", "")
    wanted = made["HostConfig"]["LogConfig"]["Config"]["labels"].split(",")
    assert set(wanted) <= made["Labels"].keys()
    assert (made["OpenStdin"], made["Tty"]) == (False, False)
    assert made["Cmd"] == [*dyno_container.supervised(["/opt/dynoform/dyno"]), "bundle exec rake x"]


def test_what_is_attached_is_not_logged() -> None:
    assert places.description("local", "local_dynos", ONE)["HostConfig"]["LogConfig"] == {"Type": "none"}


def test_a_users_own_image_starts_by_its_shell_with_the_config_vars() -> None:
    made = places.description("local", "local_dynos", replace(ONE, own_image=True))
    shell, option, script, name, command = made["Cmd"]
    assert (shell, option, name, command) == ("/bin/sh", "-c", "sh", "bundle exec rake x")
    assert script.splitlines() == [
        ". /run/secrets/config",
        "export PORT=5000 DYNO=run.1234",
        "{ echo 500 >/proc/self/oom_score_adj; } 2>/dev/null",
        "confined='setpriv --no-new-privs'",
        "$confined true 2>/dev/null || confined=",
        'exec $confined /bin/sh -c "$1"',
    ]
