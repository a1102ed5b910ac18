"""A schema that has, for every name of pg_catalog, something else of that name that fails when it is used.

Put before pg_catalog in a search_path, it catches each name of ours that is looked up along the path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

# What cannot be shadowed (functions of internal types, or of VARIADIC "any") is left out and counted.
_SHADOWS = """
DROP SCHEMA IF EXISTS hostile CASCADE; CREATE SCHEMA hostile; GRANT USAGE ON SCHEMA hostile TO PUBLIC;
SET check_function_bodies = off;
CREATE TABLE hostile.left_out (statement text);
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH functions AS (
            SELECT proname, prorettype, proretset, array_to_string(ARRAY(
                SELECT CASE WHEN provariadic <> 0 AND place = pronargs THEN 'VARIADIC ' ELSE '' END
                    || format_type(type, NULL)
                FROM unnest(proargtypes) WITH ORDINALITY AS argument (type, place) ORDER BY place), ', ') AS arguments
            FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a', 'w')
        ), operators AS (
            SELECT oprname, oprresult, format('op_%s', oid) AS function, nullif(oprleft, 0) AS lhs, oprright AS rhs
            FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprright <> 0
        )
        SELECT format('CREATE FUNCTION hostile.%I(%s) RETURNS %s%s LANGUAGE plpgsql AS %L', proname, arguments,
                      CASE WHEN proretset THEN 'SETOF ' ELSE '' END, format_type(prorettype, NULL),
                      format('BEGIN RAISE EXCEPTION %L; END', 'the path found the function ' || proname))
        FROM functions
        UNION ALL
        SELECT format('CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', function,
                      concat_ws(', ', format_type(lhs, NULL), format_type(rhs, NULL)), format_type(oprresult, NULL),
                      format('BEGIN RAISE EXCEPTION %L; END',
                             'the path found the operator ' || replace(oprname, '%', '%%')))
        FROM operators
        UNION ALL
        SELECT format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.%I, %sRIGHTARG = %s)', oprname, function,
                      'LEFTARG = ' || format_type(lhs, NULL) || ', ', format_type(rhs, NULL))
        FROM operators WHERE lhs IS NOT NULL
        UNION ALL
        SELECT format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.%I, RIGHTARG = %s)', oprname, function,
                      format_type(rhs, NULL))
        FROM operators WHERE lhs IS NULL
        UNION ALL
        SELECT format('CREATE DOMAIN hostile.%1$I AS pg_catalog.%1$I CONSTRAINT the_path_found_the_type CHECK (false)',
                      typname)
        FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm', 'e')
          AND typname NOT LIKE '\\_%'
        UNION ALL
        SELECT format('CREATE VIEW hostile.%I AS SELECT 1 AS the_path_found_the_relation', relname)
        FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
    LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO hostile.left_out VALUES (statement);
        END;
    END LOOP;
END $$;
RESET check_function_bodies
"""

_MADE = """
SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'hostile'::regnamespace AND proname !~ '^op_'),
       (SELECT count(*) FROM pg_operator WHERE oprnamespace = 'hostile'::regnamespace),
       (SELECT count(*) FROM pg_type WHERE typnamespace = 'hostile'::regnamespace AND typtype = 'd'),
       (SELECT count(*) FROM hostile.left_out)
"""


@contextmanager
def hostile_path(source: psycopg.Connection[Any], path: LiteralString) -> Iterator[tuple[int, ...]]:
    """Sessions that begin meanwhile have the search_path `path`; that of `source` stays.

    Yields how many functions, operators and types are shadowed, and how many things cannot be.
    """
    source.execute(_SHADOWS)
    made = source.execute(_MADE).fetchone() or ()
    database = sql.Identifier(source.info.dbname)
    try:
        source.execute(sql.SQL("ALTER DATABASE {} SET search_path = {}").format(database, sql.SQL(path)))
        yield made
    finally:
        source.execute(sql.SQL("ALTER DATABASE {} RESET search_path").format(database))
        source.execute("DROP SCHEMA hostile CASCADE")
