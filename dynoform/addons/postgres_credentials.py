"""What a PostgreSQL is told of named credentials: each is a role, whose members log in and act as it.

The owner may grant such a role whatever it has itself, and sees what the role makes, as it is a member of it. By what
PostgreSQL's catalogues say such a role may log in, as reports look for those who may; but the server lets only their
members in (``images/postgres/pg_hba_tls.conf``).
"""

from collections.abc import Iterable

from dynoform.addons.databases import Known


def roles(known: Known) -> str:
    """The roles of all named credentials, with what Heroku gives them: they may connect, and nothing else."""
    return "".join(
        f"""
SELECT 'CREATE ROLE "{role}"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec
ALTER ROLE "{role}" LOGIN;
GRANT CONNECT, TEMPORARY ON DATABASE "{known.name}" TO "{role}";
GRANT "{role}" TO "{known.owner}" WITH ADMIN OPTION;
"""  # noqa: S608 - names that were checked
        for role in sorted({*known.acts.values()})
    )


def repair(known: Known) -> str:
    """All that named credentials have made is the owner's, and the owner may grant each of them."""
    return roles(known) + "".join(
        f'REASSIGN OWNED BY "{role}" TO "{known.owner}";\n' for role in sorted({*known.acts.values()})
    )


def destroy(known: Known, name: str, users: Iterable[str]) -> str:
    """A credential goes, with its users; what it made is the owner's. One that is gone is no error."""
    return "".join(forget(user, name) for user in users) + forget(name, known.owner)


def forget(role: str, heir: str) -> str:
    """A role goes; those who are in by it are out, and what it made belongs to another."""
    return f"""
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') AS there \\gset
\\if :there
ALTER ROLE "{role}" NOLOGIN;
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{role}';
REASSIGN OWNED BY "{role}" TO "{heir}";
DROP OWNED BY "{role}";
DROP ROLE "{role}";
\\endif
"""  # noqa: S608 - names that were checked
