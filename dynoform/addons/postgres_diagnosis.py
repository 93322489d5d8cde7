"""What a PostgreSQL is asked for ``pg:diagnose``: what is worth a look, nothing of what is in tables or statements."""

QUERY = """
WITH sessions AS (
    SELECT pid, usename AS username, state, wait_event_type,
        extract(epoch FROM now() - query_start)::int AS in_query,
        extract(epoch FROM now() - xact_start)::int AS in_transaction,
        extract(epoch FROM now() - state_change)::int AS in_state
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
), connections AS (
    SELECT count(*) AS connections, datconnlimit AS most, 100 * count(*) / datconnlimit AS percent
    FROM sessions, pg_database WHERE datname = current_database() AND datconnlimit > 0
    GROUP BY datconnlimit HAVING 100 * count(*) / datconnlimit >= 75
), long_queries AS (
    SELECT pid, username, in_query AS seconds FROM sessions WHERE state = 'active' AND in_query > 60 LIMIT 20
), long_transactions AS (
    SELECT pid, username, in_transaction AS seconds FROM sessions WHERE in_transaction > 60 LIMIT 20
), idle AS (
    SELECT pid, username, in_state AS seconds FROM sessions
    WHERE state LIKE 'idle in transaction%' AND in_state > 60 LIMIT 20
), indexes AS (
    SELECT 'never used' AS reason, schemaname || '.' || indexrelname AS index,
        pg_size_pretty(pg_relation_size(indexrelid)) AS size
    FROM pg_stat_user_indexes JOIN pg_index USING (indexrelid)
    WHERE idx_scan = 0 AND NOT indisunique AND pg_relation_size(indexrelid) > 5000000 LIMIT 20
), bloat AS (
    SELECT schemaname || '.' || relname AS table, n_dead_tup AS dead_rows,
        100 * n_dead_tup / (n_live_tup + n_dead_tup) AS percent
    FROM pg_stat_user_tables WHERE n_dead_tup > 10000 AND 100 * n_dead_tup / (n_live_tup + n_dead_tup) > 40 LIMIT 20
), rates AS (
    SELECT 'tables' AS name, sum(heap_blks_read) AS reads, sum(heap_blks_hit) AS hits FROM pg_statio_user_tables
    UNION ALL SELECT 'indexes', sum(idx_blks_read), sum(idx_blks_hit) FROM pg_statio_user_indexes
), hit_rate AS (
    SELECT name, round(100 * reads / (reads + hits), 1) AS misses_percent FROM rates
    WHERE reads > 10000 AND 100 * reads / (reads + hits) > 1
), blocking AS (
    SELECT pid AS blocked_pid, blocker AS blocking_pid, in_query AS seconds
    FROM sessions, unnest(pg_blocking_pids(pid)) blocker WHERE wait_event_type = 'Lock' LIMIT 20
), sequences AS (
    SELECT schemaname || '.' || sequencename AS sequence, (100 * last_value / max_value::numeric)::int AS percent
    FROM pg_sequences WHERE NOT cycle AND 100 * last_value / max_value::numeric > 75 LIMIT 20
), unlogged AS (
    SELECT oid::regclass::text AS table FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r' LIMIT 20
), table_ids AS (
    SELECT oid::regclass::text AS table, age(relfrozenxid) / 20000000 AS percent
    FROM pg_class WHERE relkind IN ('r', 'm', 't') AND age(relfrozenxid) > 1000000000 LIMIT 20
), database_ids AS (
    SELECT datname AS database, age(datfrozenxid) / 20000000 AS percent
    FROM pg_database WHERE datname = current_database() AND age(datfrozenxid) > 1000000000
), schemas AS (
    SELECT count(*) AS schemas FROM pg_namespace WHERE nspname !~ '^pg_' HAVING count(*) > 100
)
SELECT json_build_object(
    'connections', (SELECT json_agg(r) FROM connections r),
    'long_queries', (SELECT json_agg(long_queries) FROM long_queries),
    'long_transactions', (SELECT json_agg(long_transactions) FROM long_transactions),
    'idle', (SELECT json_agg(idle) FROM idle),
    'indexes', (SELECT json_agg(indexes) FROM indexes),
    'bloat', (SELECT json_agg(bloat) FROM bloat),
    'hit_rate', (SELECT json_agg(hit_rate) FROM hit_rate),
    'blocking', (SELECT json_agg(blocking) FROM blocking),
    'sequences', (SELECT json_agg(sequences) FROM sequences),
    'unlogged', (SELECT json_agg(unlogged) FROM unlogged),
    'table_ids', (SELECT json_agg(table_ids) FROM table_ids),
    'database_ids', (SELECT json_agg(database_ids) FROM database_ids),
    'schemas', (SELECT json_agg(r) FROM schemas r)
);
"""
"""One statement; the answer has rows by the keys of ``dynoform.domain.diagnosis.CHECKS``."""
