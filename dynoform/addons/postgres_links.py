"""What a PostgreSQL is told of data links: the tables of another, by postgres_fdw, in a schema called as the link.

https://devcenter.heroku.com/articles/heroku-data-links
"""

import re

from dynoform.addons.databases import Known
from dynoform.domain.data_services import Access

_ERROR = re.compile(r"\bERROR: (.*?)(?= (?:LINE \d+|DETAIL|HINT|QUERY|CONTEXT|STATEMENT): |$)")
"""The first of what psql says of an error; what comes after it may be a statement, with a password."""
_PASSING = ("could not connect", "server closed the connection", "canceling statement", "deadlock detected")


def refusal(said: str) -> str:
    """Why a server will not have a link, however often it is asked, of what psql said; empty where it may yet."""
    found = _ERROR.search(" ".join(said.split()))
    if found is None or found[1].startswith(_PASSING):
        return ""
    lacks = re.fullmatch(r"type .* does not exist", found[1])
    return f"{found[1]}. Make the type in this database first" if lacks else found[1]


def is_taken(name: str) -> str:
    """Whether a schema is called so that is no link's."""
    return f"""
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{name}')
AND NOT EXISTS (SELECT FROM pg_foreign_server WHERE srvname = '{name}');
"""  # noqa: S608 - names that were checked


def create(known: Known, name: str, to: Access) -> str:
    """The link, made anew where it was half made; the other one's tables are as they are at this moment."""
    return f"""
SET client_min_messages = 'error';
CREATE EXTENSION IF NOT EXISTS postgres_fdw SCHEMA public;
{destroy(name)}
CREATE SERVER "{name}" FOREIGN DATA WRAPPER postgres_fdw
OPTIONS (host '{to.host}', port '{to.port}', dbname '{to.database}', sslmode 'require', connect_timeout '15');
CREATE USER MAPPING FOR "{known.owner}" SERVER "{name}" OPTIONS (user '{to.user}', password '{to.password}');
GRANT USAGE ON FOREIGN SERVER "{name}" TO "{known.owner}";
CREATE SCHEMA "{name}" AUTHORIZATION "{known.owner}";
SET ROLE "{known.owner}";
IMPORT FOREIGN SCHEMA public FROM SERVER "{name}" INTO "{name}";
"""


def leave() -> str:
    """All links that came with another's data go, as they would one by one: their passwords are the other's."""
    return """
SELECT format('DROP SCHEMA IF EXISTS %1$I CASCADE; DROP SERVER %1$I CASCADE', srvname)
FROM pg_foreign_server WHERE srvowner = current_user::regrole \\gexec
"""


def destroy(name: str) -> str:
    """The link, with the schema and all in it; one that is gone is no error."""
    return f"""
SELECT EXISTS (SELECT FROM pg_foreign_server WHERE srvname = '{name}') AS there \\gset
\\if :there
DROP SCHEMA IF EXISTS "{name}" CASCADE;
DROP SERVER "{name}" CASCADE;
\\endif
"""  # noqa: S608 - names that were checked
