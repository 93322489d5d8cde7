"""What a follower needs of its leader, and what is done to both, as statements and words for their servers."""

from dynoform.domain import data_services

JOB = "-follow"
PROGRAM = ["/opt/dynoform/follow"]
BEHIND = "SELECT pg_wal_lsn_diff('{}', pg_last_wal_replay_lsn())::bigint;\n"
POSITION = "SELECT pg_current_wal_lsn();\n"
PROMOTE = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(true, 60) ELSE true END;
ALTER SYSTEM RESET primary_conninfo;
ALTER SYSTEM RESET primary_slot_name;
SELECT pg_reload_conf();
"""


def admit(user: str, password: str) -> str:
    """Have a leader let a follower in, and keep what it has not fetched; the slot is called as the user is."""
    return f"""
SELECT 'CREATE ROLE "{user}"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') \\gexec
ALTER ROLE "{user}" LOGIN REPLICATION PASSWORD '{data_services.scram(password)}';
SELECT pg_create_physical_replication_slot('{user}')
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{user}');
"""  # noqa: S608 - a name of our own making


def dismiss(user: str) -> str:
    """Have a leader know nothing of a follower any more."""
    return f"""
SELECT 'ALTER ROLE "{user}" NOLOGIN' FROM pg_roles WHERE rolname = '{user}' \\gexec
SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity WHERE usename = '{user}';
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{user}' AND NOT active;
DROP ROLE IF EXISTS "{user}";
"""  # noqa: S608 - a name of our own making


def told(host: str, port: int, user: str, password: str) -> str:
    """What ``images/postgres/follow`` is told."""
    return f"{host}\n{port}\n{user}\n{password}\n{user}\n.\n"
