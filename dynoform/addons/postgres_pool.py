"""What a PostgreSQL is told of its connection pool: a role by which that looks up who may log in.

So a pool knows of each rotation at once, and no password is written down where it runs but that role's.
"""

from dynoform.domain import data_services
from dynoform.domain.database_credentials import POOL_USER


def role(password: str) -> str:
    """The role, and what it may: to read what the server keeps of the passwords of those who log in by the platform."""
    kept = data_services.scram(password, data_services.salt(POOL_USER))
    return f"""
SELECT 'CREATE ROLE {POOL_USER}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{POOL_USER}') \\gexec
ALTER ROLE {POOL_USER} LOGIN PASSWORD '{kept}';
CREATE SCHEMA IF NOT EXISTS dynoform;
CREATE OR REPLACE FUNCTION dynoform.pool_user(wanted text) RETURNS TABLE (name text, secret text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
SELECT rolname::text, rolpassword FROM pg_authid
WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper AND rolname ~ '^u[0-9a-f]{{14}}$'
$$;
REVOKE ALL ON SCHEMA dynoform FROM PUBLIC;
REVOKE ALL ON FUNCTION dynoform.pool_user FROM PUBLIC;
GRANT CONNECT ON DATABASE postgres TO {POOL_USER};
GRANT USAGE ON SCHEMA dynoform TO {POOL_USER};
GRANT EXECUTE ON FUNCTION dynoform.pool_user TO {POOL_USER};
"""  # noqa: S608 - names of our own making
