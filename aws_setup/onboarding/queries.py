"""The SQL that `suggest` sends about the catalog. `?` stands for a parameter; names are looked up in pg_catalog."""

from __future__ import annotations

SCHEMAS = (
    "SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"
)

RELATIONS = """
WITH extensions AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
)
SELECT class.oid::text AS oid, nspname AS schema, relname AS name, quote_ident(nspname) AS quoted_schema,
       quote_ident(nspname) || '.' || quote_ident(relname) AS quoted, relkind::text AS kind,
       has_schema_privilege(schema.oid, 'USAGE') AS usable, has_table_privilege(class.oid, 'SELECT') AS readable,
       row_security_active(class.oid) AS hides_rows,
       (SELECT count(*) FROM pg_inherits WHERE inhparent = class.oid) AS children,
       (SELECT attname FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
        WHERE partrelid = class.oid) AS partition_key,
       (SELECT quote_ident(above.nspname) || '.' || quote_ident(parent.relname)
        FROM pg_inherits JOIN pg_class AS parent ON parent.oid = inhparent
        JOIN pg_namespace AS above ON above.oid = parent.relnamespace
        WHERE inhrelid = class.oid ORDER BY inhseqno LIMIT 1) AS parent
FROM pg_class AS class JOIN pg_namespace AS schema ON schema.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relpersistence <> 't'
  AND nspname !~ '^pg_' AND nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM extensions WHERE classid = 'pg_class'::regclass AND objid = class.oid)
  AND NOT EXISTS (SELECT FROM extensions WHERE classid = 'pg_namespace'::regclass AND objid = schema.oid)
ORDER BY nspname, relname
"""
"""The relations with rows that no extension owns, partitions and children by inheritance among them."""

COLUMNS = """
WITH RECURSIVE declared AS (
    SELECT attrelid, attnum, attname, atttypid, atttypmod, attnotnull FROM pg_attribute
    WHERE attrelid = ?::oid AND attnum > 0 AND NOT attisdropped
), resolved AS (
    SELECT attnum, atttypid AS typid, atttypmod AS typmod, attnotnull AS filled FROM declared
    UNION ALL
    SELECT attnum, typbasetype, typtypmod, filled OR typnotnull
    FROM resolved JOIN pg_type ON pg_type.oid = typid WHERE typtype = 'd'
)
SELECT attname AS name, format_type(atttypid, atttypmod) AS type, format_type(typid, typmod) AS base_type,
       col_description(attrelid, attnum) AS comment, filled, typcategory = 'S' AS textual,
       EXISTS (
           SELECT FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
           WHERE indrelid = attrelid AND indisvalid AND indpred IS NULL AND indkey[0] = attnum AND amname = 'btree'
       ) AS indexed
FROM declared JOIN resolved USING (attnum) JOIN pg_type ON pg_type.oid = typid
WHERE typtype <> 'd' ORDER BY attnum
"""

STATISTICS = """
WITH RECURSIVE tree AS (
    SELECT ?::oid AS relation UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relation
)
SELECT attname AS name, class.oid = ?::oid AS own, inherited, greatest(reltuples, 0)::float8 AS tuples,
       null_frac::float8 AS nulls, correlation::float8 AS correlation,
       coalesce(most_common_vals::text::text[], '{}') || coalesce(histogram_bounds::text::text[], '{}') AS values
FROM tree JOIN pg_class AS class ON class.oid = relation JOIN pg_namespace AS schema ON schema.oid = relnamespace
JOIN pg_stats ON schemaname = nspname AND tablename = relname
WHERE attname = ANY (?::name[])
"""
"""What ANALYZE found about columns (an array of names) in the table and in its partitions."""

TABLE_SIZE = """
WITH RECURSIVE tree AS (
    SELECT ?::oid AS relation UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relation
)
SELECT coalesce(sum(pg_table_size(relation)), 0)::int8 AS bytes,
       coalesce(sum(pg_relation_size(relation)), 0)::int8 / current_setting('block_size')::int AS blocks
FROM tree
"""
"""Bytes with long values and without indexes, and blocks of the rows alone; it locks the relations for a moment."""

LACKING_FUNCTIONS = """
SELECT proc.oid::regprocedure::text AS function FROM pg_proc AS proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND NOT has_function_privilege(proc.oid, 'EXECUTE')
  AND proname IN ('pg_control_system', 'pg_control_recovery', 'pg_walfile_name', 'pg_current_wal_lsn',
                  'pg_postmaster_start_time', 'pg_current_wal_insert_lsn', 'pg_current_wal_flush_lsn')
ORDER BY 1
"""
"""Functions that a refresh calls (spark_scripts/postgres/server_identity.py) and that the user may not call."""
