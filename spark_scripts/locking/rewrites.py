"""Whether a relation was rewritten, replaced or reassembled since the snapshot.

TRUNCATE, ALTER TABLE with a rewrite, ATTACH PARTITION and a swap by rename are not MVCC-safe: a snapshot that is older
than one of them sees an empty table, or another one, without an error (PostgreSQL manual, "Caveats" of "Concurrency
Control"). But the snapshot applies to the catalog as to any table, so the catalog shows the relation that the snapshot
knows. Another session's new snapshot shows the relation of now, which is the one that a query reads. Where both agree,
and the query's locks keep the next rewrite out, the snapshot is valid for the data.
"""

from __future__ import annotations

from typing import Any, Optional

from spark_scripts.postgres.connection import Connection
from spark_scripts.postgres.errors import SourceChangedError

_LOCKED = """
SELECT DISTINCT relation::int8 AS oid FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation >= 16384
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The relations that the open transaction has locked, except the catalog's (below FirstNormalObjectId)."""

_STATE = """
SELECT class.oid::int8 AS oid, nspname AS schema, relname AS name, relfilenode::int8 AS file,
       (SELECT string_agg(inhrelid::text, ',' ORDER BY inhrelid) FROM pg_inherits WHERE inhparent = class.oid) AS parts,
       (SELECT string_agg(rule.oid::text || ':' || rule.xmin::text, ',' ORDER BY rule.oid)
        FROM pg_rewrite AS rule WHERE ev_class = class.oid) AS rules,
       (SELECT string_agg(attnum || ':' || attname || ':' || atttypid || ':' || atttypmod, ',' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = class.oid AND attnum > 0 AND NOT attisdropped
          AND attrelid = to_regclass(?)) AS columns
FROM pg_class AS class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE class.oid = ANY (string_to_array(?, ',')::oid[]) AND relkind IN ('r', 'p', 'm', 'v', 'f')
ORDER BY class.oid
"""
"""Each relation: file, partitions or children, a view's definition; for the relation of that name also the columns."""


def check_unchanged(snapshot: Connection, now: Connection, name: str) -> None:
    """Compare what `snapshot` has locked with the catalog as it is `now`. `name` is the relation's, quoted.

    Raises SourceChangedError. What agrees stays so while the locks are held, except that partitions and children can
    be added, which conflicts with no reader's lock: so compare again after the reading.
    """
    locked = ",".join(str(row["oid"]) for row in snapshot.rows(_LOCKED))
    then = {row["oid"]: row for row in snapshot.rows(_STATE, name, locked)}
    with now.letting_go():
        current = {row["oid"]: row for row in now.rows(_STATE, name, locked)}
    for oid in sorted(then.keys() | current.keys()):
        if then.get(oid) != current.get(oid):
            raise SourceChangedError(name, _difference(then.get(oid), current.get(oid)))


_WORDS = {
    "file": "was rewritten",
    "parts": "has other partitions or children",
    "rules": "has another definition",
    "columns": "has other columns",
}


def _difference(then: Optional[dict[str, Any]], current: Optional[dict[str, Any]]) -> str:
    shown = then or current or {}
    label = f"{shown['schema']}.{shown['name']}"
    if then is None or current is None:
        return f"{label} is {'new' if then is None else 'gone'}"
    changed = next((words for key, words in _WORDS.items() if then[key] != current[key]), "was renamed")
    return f"{label} {changed}"
