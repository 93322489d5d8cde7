"""Who one is: account, tokens, teams, git's credentials."""

from urllib.parse import urlsplit

import httpx

from tests.contract.conftest import OPERATOR_KEY
from tests.heroku.conftest import BOB, Site
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
