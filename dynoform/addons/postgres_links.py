"""What a PostgreSQL is told of data links: the tables of another, by postgres_fdw, in a schema called as the link.

https://devcenter.heroku.com/articles/heroku-data-links
"""

from dynoform.addons.databases import Known
from dynoform.domain.data_services import Access


def is_taken(name: str) -> str:
    """Whether a schema is called so that is no link's."""
    return f"""
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{name}')
AND NOT EXISTS (SELECT FROM pg_foreign_server WHERE srvname = '{name}');
"""  # noqa: S608 - names that were checked


def create(known: Known, name: str, to: Access) -> str:
    """The link, made anew where it was half made; the other one's tables are as they are at this moment."""
    return f"""
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


def destroy(name: str) -> str:
    """The link, with the schema and all in it; one that is gone is no error."""
    return f"""
SELECT EXISTS (SELECT FROM pg_foreign_server WHERE srvname = '{name}') AS there \\gset
\\if :there
DROP SCHEMA IF EXISTS "{name}" CASCADE;
DROP SERVER "{name}" CASCADE;
\\endif
"""  # noqa: S608 - names that were checked
