"""Who one is: account, tokens, teams, git's credentials."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.contract.conftest import OPERATOR_KEY
from tests.heroku.conftest import BOB, BOBS_KEY, Site
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI
from tests.store_fixtures import EMAIL


@covers("auth:whoami")
def test_each_person_is_told_who_they_are(heroku: HerokuCLI, bob: HerokuCLI) -> None:
    assert heroku("auth:whoami").out == f"{EMAIL}\n"
    assert bob("auth:whoami").out == f"{BOB}\n"


@covers("auth:token")
def test_the_token_is_shown_as_it_is_known(heroku: HerokuCLI, client: httpx.Client) -> None:
    ran = heroku("auth:token")
    assert ran.out == f"{OPERATOR_KEY}\n"
    assert "Error" not in ran.err


@covers("git:credentials get")
def test_git_gets_the_token_for_the_platforms_host_only(heroku: HerokuCLI, site: Site) -> None:
    host = urlsplit(site.url).netloc
    told = heroku("git:credentials get", stdin=f"protocol=https\nhost={host}\n\n").out
    assert f"password={OPERATOR_KEY}" in told.splitlines()
    other = heroku("git:credentials get", stdin="protocol=https\nhost=git.example.com\n\n").out
    assert OPERATOR_KEY not in other


def test_login_with_email_and_password_keeps_a_token_of_its_own(
    people: dict[str, HerokuCLI], client: httpx.Client, tmp_path: Path
) -> None:
    """``auth:login -i`` as a colleague types it, who has no API key but the password that the operator gave."""
    invited = client.post("/dynoform/accounts", json={"email": BOB}).raise_for_status().json()
    cli = HerokuCLI(people["bob"].program, tmp_path, people["bob"].environment)
    answers = {"Email": BOB, "Password": invited["one_time_password"]}
    assert f"Logged in as {BOB}" in cli.typed("auth:login -i", answers, without=["HEROKU_API_KEY"]).text
    signed_in = HerokuCLI(
        cli.program, tmp_path, {name: value for name, value in cli.environment.items() if name != "HEROKU_API_KEY"}
    )
    assert signed_in("auth:whoami").out == f"{BOB}\n"
    token = signed_in("auth:token").out.strip()
    assert token not in {BOBS_KEY, invited["one_time_password"]}
    signed_in("auth:logout")
    assert client.get("/account", headers={"Authorization": f"Bearer {token}"}).status_code == 401
