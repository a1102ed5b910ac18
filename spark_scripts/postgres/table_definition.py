"""What the text of a table's rows depends on besides the rows, as digests, and why some tables can have no state.

The catalog is read under the job's snapshot, but PostgreSQL writes a value by the catalog of that moment. So the rows
of pg_enum and pg_extension count with their own transaction ids: labels that are renamed while the months are read,
and named back before the next refresh, are a difference. Columns need no such care: while the job reads, its locks
prevent their changes, and PostgreSQL never uses the number of a column or attribute twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from spark_scripts.contract.tables import Table
from spark_scripts.postgres import projections
from spark_scripts.postgres.queries import Queries
from spark_scripts.postgres.server_identity import NoStateError
from spark_scripts.postgres.session import FORMATS
from spark_scripts.postgres.source import Relation

FORMAT = 1
"""Raise it when a release writes other bytes for the same rows, and the SQL that the job sends does not show that."""

_TREE = """
WITH RECURSIVE tree AS (
    SELECT ?::oid AS relation UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = relation
)"""

# 16384 is FirstNormalObjectId, 2 the access method heap. Since PostgreSQL 17 a partitioned table may name one too.
_UNFIT_RELATION = f"""
{_TREE}, judged AS (
    SELECT nspname || '.' || relname AS name, CASE
        WHEN relkind = 'v' THEN 'is a view, and its rows carry no transaction id'
        WHEN relkind = 'f' THEN 'is a foreign table, and its rows carry no transaction id'
        WHEN relkind NOT IN ('r', 'p', 'm') THEN 'is no table'
        WHEN class.oid < 16384 THEN 'is a system catalog, which PostgreSQL also updates in place'
        WHEN relkind <> 'p' AND relam NOT IN (0, 2) THEN 'has another access method than heap'
        WHEN nspname = '_timescaledb_internal' AND EXISTS (
            SELECT FROM pg_class AS other WHERE other.relnamespace = class.relnamespace
            AND left(other.relname, 15) = 'compress_hyper_'
        ) THEN 'is a chunk of TimescaleDB, and this database compresses chunks' END AS reason
    FROM tree JOIN pg_class AS class ON class.oid = relation JOIN pg_namespace ON pg_namespace.oid = relnamespace
)
SELECT name, reason FROM judged WHERE reason IS NOT NULL ORDER BY name LIMIT 1
"""

_READABLE = """
SELECT has_column_privilege(?::oid, 'xmin', 'SELECT') AND has_column_privilege(?::oid, 'tableoid', 'SELECT') AS xmin
"""

_ATTRIBUTES = """
SELECT attrelid, attnum, attname::text AS name, atttypid, atttypmod, atthasmissing, attmissingval::text AS missing,
       attgenerated, pg_get_expr(adbin, adrelid) AS expression
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum AND attgenerated <> ''
WHERE attnum > 0 AND NOT attisdropped"""

_COLUMNS = f"""
SELECT attnum, name, atttypid::text AS type, atttypmod, missing, expression
FROM ({_ATTRIBUTES} AND attrelid = ?::oid) AS attribute ORDER BY attnum
"""

_CHILDREN = f"""
{_TREE}, attributes AS (
    {_ATTRIBUTES} AND attrelid IN (SELECT relation FROM tree)
), own AS (
    SELECT name, row_number() OVER (ORDER BY attnum) AS rank, expression FROM attributes WHERE attrelid = ?::oid
)
SELECT attrelid::text AS relation, md5(string_agg(
           concat_ws(chr(1), attnum, name, missing, coalesce(child.expression, chr(2))), chr(3) ORDER BY attnum
       )) AS layout
FROM attributes AS child JOIN own USING (name) WHERE attrelid <> ?::oid GROUP BY attrelid
HAVING bool_or(attnum <> rank OR atthasmissing OR child.expression IS DISTINCT FROM own.expression)
ORDER BY attrelid
"""
"""The partitions and children whose columns are not as a new partition has them.

A new partition numbers its columns without a gap, in the order of its parent, and none has a value for rows that are
older than the column. So one more partition is no other definition. One whose column was dropped and added again while
it was detached has another number for it: its rows stay, and read differently.
"""

_TYPES = """
WITH RECURSIVE types AS (
    SELECT attname::text AS name, atttypid AS type FROM pg_attribute
    WHERE attrelid = ?::oid AND attnum > 0 AND NOT attisdropped
    UNION
    SELECT name, part.type FROM types JOIN pg_type ON pg_type.oid = types.type CROSS JOIN LATERAL (
        SELECT typbasetype AS type WHERE typtype = 'd'
        UNION ALL SELECT typelem WHERE typelem <> 0
        UNION ALL SELECT rngsubtype FROM pg_range WHERE rngtypid = pg_type.oid
        UNION ALL SELECT rngtypid FROM pg_range
            WHERE typtype = 'm' AND (to_jsonb(pg_range) ->> 'rngmultitypid')::oid = pg_type.oid
        UNION ALL SELECT atttypid FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped
    ) AS part
), owned AS (
    SELECT classid, objid, concat_ws(' ', extname, extversion, pg_extension.xmin) AS extension
    FROM pg_depend JOIN pg_extension ON pg_extension.oid = refobjid
    WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
), casts AS (
    SELECT castsource AS type, pg_cast.oid, extension
    FROM pg_cast LEFT JOIN owned ON classid = 'pg_cast'::regclass AND objid = pg_cast.oid
    WHERE casttarget = 'text'::regtype AND pg_cast.oid >= 16384
)
SELECT name AS column, pg_type.oid::text AS type, typtype, typbasetype::text AS base, typtypmod,
       typoutput::oid::text AS output,
       (SELECT string_agg(concat_ws(':', oid, xmin, enumlabel), chr(3) ORDER BY oid)
        FROM pg_enum WHERE enumtypid = pg_type.oid) AS labels,
       (SELECT string_agg(concat_ws(':', attnum, atttypid, atttypmod, attisdropped, attmissingval::text),
                          chr(3) ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0) AS attributes,
       (SELECT string_agg(extension, ', ' ORDER BY extension) FROM (
            SELECT extension FROM owned WHERE classid = 'pg_type'::regclass AND objid = pg_type.oid
            UNION SELECT extension FROM owned WHERE classid = 'pg_proc'::regclass AND objid = typoutput
            UNION SELECT extension FROM casts WHERE casts.type = pg_type.oid) AS extensions) AS extensions,
       CASE
           WHEN typnamespace = 'pg_catalog'::regnamespace AND typname ~ '^(reg[a-z]+|aclitem)$'
           THEN 'is written with the names of other objects, which may be renamed'
           WHEN EXISTS (SELECT FROM casts WHERE casts.type = pg_type.oid AND extension IS NULL)
           THEN 'has a cast to text that its owner may replace'
           WHEN typoutput::oid >= 16384 AND NOT EXISTS (
               SELECT FROM owned WHERE classid = 'pg_proc'::regclass AND objid = typoutput)
           THEN 'is written by a function that belongs to no extension'
       END AS reason, format_type(pg_type.oid, NULL) AS label
FROM types JOIN pg_type ON pg_type.oid = types.type ORDER BY 1, pg_type.oid
"""

_MONEY = "790"

_SETTINGS = """
SELECT current_setting('server_encoding') AS encoding, current_setting('lc_monetary') AS money
"""


def read_definition(connection: Queries, table: Table, relation: Relation, oid: str) -> dict[str, str]:
    """The digests of `SourceState.definition` that all months share, in the snapshot of `connection`.

    `oid` is the relation's. Raises NoStateError where equal digests would not mean equal text.
    """
    if table.row_security:
        raise NoStateError("row_security is on, and what the policies show may change without a change of the rows")
    with connection.letting_go():
        _check_relations(connection, oid)
        read = {column.name for column in relation.columns}
        types = [each for each in connection.rows(_TYPES, oid) if each["column"] in read]
        _check_types(types)
        [settings] = connection.rows(_SETTINGS)
        if not any(each["type"] == _MONEY for each in types):
            del settings["money"]
        facts = {
            "columns": [each for each in connection.rows(_COLUMNS, oid) if each["name"] in read],
            "children": connection.rows(_CHILDREN, oid, oid, oid),
            "types": [each for each in types if int(each["type"]) >= 16384],
            "entry": table.deciding_bytes(),  # not row_security, which allows no state at all
            "settings": [FORMATS, settings],
            "job": [FORMAT, _read_as(table, relation)],
        }
        if relation.pepper:  # after a rotation every month is hashed again, so that no table has hashes of two peppers
            facts["pepper"] = relation.pepper
    return {name: digest(fact) for name, fact in facts.items()}


def digest(fact: object) -> str:
    """A short name for what JSON can carry: equal for equal facts alone."""
    text = json.dumps(fact, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _check_relations(connection: Queries, oid: str) -> None:
    for unfit in connection.rows(_UNFIT_RELATION, oid):
        raise NoStateError(f"{unfit['name']} {unfit['reason']}")
    [readable] = connection.rows(_READABLE, oid, oid)
    if not readable["xmin"]:
        raise NoStateError("the user may read columns only, not xmin: GRANT SELECT on the whole table")


def _check_types(types: Sequence[dict[str, Any]]) -> None:
    for each in types:
        if each["reason"]:
            raise NoStateError(f"column {each['column']}: the type {each['label']} {each['reason']}")


def _read_as(table: Table, relation: Relation) -> list[str]:
    """The SQL that makes a file's header, lines or values of the rows."""
    if table.format == "csv":
        parts = projections.csv_parts(relation.columns, table.treated)
        return [projections.csv_header(relation.columns), *(part.expression for part in parts)]
    lossy = projections.lossy_conditions(relation.columns, table.treated)
    typed = projections.typed_projections(relation.columns, table.treated, lossy)
    return [repr(projection) for projection in typed]
