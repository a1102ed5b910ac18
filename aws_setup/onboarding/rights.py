"""What the user may not do, as statements to paste."""

from __future__ import annotations

from collections.abc import Sequence

from aws_setup.onboarding import queries
from aws_setup.onboarding.session import Session
from aws_setup.onboarding.study import NotProposed


def statements(session: Session, left_out: Sequence[NotProposed]) -> list[str]:
    """The statements that give the user what it lacks: for the relations left out, and for a refresh."""
    lacking = [one.relation for one in left_out if one.rights]
    schemas = dict.fromkeys(one.quoted_schema for one in lacking if not one.usable)
    lines = [f"GRANT USAGE ON SCHEMA {schema} TO {session.role};" for schema in schemas]
    lines += [f"GRANT SELECT ON {one.quoted} TO {session.role};" for one in lacking if not one.readable]
    hiding = [one.quoted for one in lacking if one.hides_rows]
    if hiding:
        lines.append(
            f"ALTER ROLE {session.role} BYPASSRLS;  -- policies hide rows of {', '.join(hiding)}; or write the entry by"
            " hand, with row_security: on, to ingest only what they show"
        )
    functions = [row["function"] for row in session.rows(queries.LACKING_FUNCTIONS)]
    lines += [f"GRANT EXECUTE ON FUNCTION {one} TO {session.role};  -- a refresh calls it" for one in functions]
    return lines
