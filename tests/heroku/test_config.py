"""Config vars."""

import httpx

from tests.heroku.invocations import covers
from tests.heroku_cli import REFUSED, HerokuCLI

AWKWARD = 'it\'s $HOME "quoted"\nand two lines ✓'


@covers("config -a myapp", "config -a myapp --shell", "config:get FOO -a myapp")
def test_config_is_shown(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    client.patch("/apps/myapp/config-vars", json={"FOO": "bar", "EMPTY": "", "AWKWARD": AWKWARD}).raise_for_status()
    plain, shell, one, many = heroku.each(
        "config -a myapp", "config -a myapp --shell", "config:get FOO -a myapp", "config:get AWKWARD -a myapp"
    )
    assert ["FOO:", "bar"] in plain.table
    assert "FOO=bar\n" in shell.out
    assert one.out == "bar\n"
    assert many.out == f"{AWKWARD}\n"


@covers("config:set A=1 B=2 -a myapp")
def test_set_makes_one_release(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    ran = heroku("config:set A=1 B=2 -a myapp")
    assert client.get("/apps/myapp/config-vars").json() == {"A": "1", "B": "2"}
    latest = client.get("/apps/myapp/releases").json()[-1]
    assert (latest["version"], latest["description"]) == (3, "Set A, B config vars")
    assert "v3" in ran.text


@covers("config:unset FOO -a myapp")
def test_unset_removes_and_releases(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    client.patch("/apps/myapp/config-vars", json={"FOO": "bar", "KEPT": "1"}).raise_for_status()
    ran = heroku("config:unset FOO -a myapp")
    assert client.get("/apps/myapp/config-vars").json() == {"KEPT": "1"}
    assert client.get("/apps/myapp/releases").json()[-1]["description"] == "Remove FOO config vars"
    assert "v4" in ran.text


def test_a_value_over_the_limit_is_refused_in_words(heroku: HerokuCLI, client: httpx.Client, myapp: str) -> None:
    refused = heroku(f"config:set BIG={'x' * 66_000} -a myapp", code=REFUSED)
    assert "Config vars are limited to 65536 bytes in total" in refused.text
    assert client.get("/apps/myapp/config-vars").json() == {}
