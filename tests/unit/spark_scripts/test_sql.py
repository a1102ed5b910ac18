import re
from datetime import datetime

import pytest

from spark_scripts.contract.errors import InvalidInputError
from spark_scripts.contract.months import UNDATED, Month
from spark_scripts.contract.privacy import Options
from spark_scripts.lake.staging import spark_reason
from spark_scripts.postgres import projections, sql
from spark_scripts.postgres.projections import Projection, SourceColumn
from spark_scripts.postgres.source import date_column
from spark_scripts.postgres.sql import DateColumn

FEBRUARY = Month(2024, 2)
STAMP = DateColumn("at", "timestamp without time zone", "UTC")
ZONED = DateColumn("at", "timestamp with time zone", "America/Chicago")
DAY = DateColumn('we"ird', "date", "UTC")


def column(base_type: str, name: str = "c") -> SourceColumn:
    return SourceColumn(name, base_type, base_type)


def plain(text: str) -> str:
    """SQL without the schema of its operators, functions and types."""
    return re.sub(r"OPERATOR\(pg_catalog\.(\S+?)\)", r"\1", text).replace("pg_catalog.", "")


def test_a_month_is_a_range_that_an_index_serves() -> None:
    assert plain(sql.in_months(STAMP, [FEBRUARY])) == (
        """((("at" >= TIMESTAMP '2024-02-01 00:00:00') AND ("at" < TIMESTAMP '2024-03-01 00:00:00')))"""
    )


def test_the_wall_time_of_a_timestamptz_decides_and_its_index_serves() -> None:
    condition = plain(sql.in_months(ZONED, [FEBRUARY]))
    assert """("at" AT TIME ZONE 'America/Chicago') >= TIMESTAMP '2024-02-01 00:00:00'""" in condition
    first, after = (f"TIMESTAMP '2024-{day} 00:00:00' AT TIME ZONE 'America/Chicago'" for day in ("02-01", "03-01"))
    assert f"""("at" >= ({first} - interval '1 day'))""" in condition
    assert f"""("at" < ({after} + interval '1 day'))""" in condition


def test_the_name_of_the_date_column_is_quoted() -> None:
    condition = plain(sql.in_months(DAY, [FEBRUARY]))
    assert condition == """((("we""ird" >= date '2024-02-01') AND ("we""ird" < date '2024-03-01')))"""


def test_adjacent_months_are_one_range_and_others_ranges_of_their_own() -> None:
    months = [Month(2024, 3), Month(2023, 12), Month(2024, 2), Month(2024, 3)]
    december = sql.DateColumn("at", "date", "UTC").between(datetime(2023, 12, 1), datetime(2024, 1, 1))
    spring = sql.DateColumn("at", "date", "UTC").between(datetime(2024, 2, 1), datetime(2024, 4, 1))
    assert sql.in_months(sql.DateColumn("at", "date", "UTC"), months) == f"(({december}) OR ({spring}))"


@pytest.mark.parametrize("date", [STAMP, ZONED, DAY])
@pytest.mark.parametrize("count", [1, 2, 7, 31])
def test_slices_cover_the_month_without_gap_or_overlap(date: DateColumn, count: int) -> None:
    conditions = [plain(condition) for condition in sql.slices(date, FEBRUARY, count)]
    lows = [condition.split(" AND ")[0].split(" >= ")[1].rstrip(")") for condition in conditions]
    highs = [condition.split(" AND ")[1].split(" < ")[1].rstrip(")") for condition in conditions]
    assert lows[0] == plain(date.bound(datetime(2024, 2, 1)))
    assert highs[-1] == plain(date.bound(datetime(2024, 3, 1)))
    assert lows[1:] == highs[:-1]
    assert len(set(lows)) == len(conditions) == min(count, 29 if date is DAY else count)


@pytest.mark.parametrize("year", [-44, 9999, 294276])
def test_a_month_that_python_cannot_count_in_is_one_slice(year: int) -> None:
    [condition] = sql.slices(STAMP, Month(year, 3), 8)
    assert plain(condition) == f'(extract(year FROM "at") = {year}) AND (extract(month FROM "at") = 3)'


def test_a_line_quotes_what_may_need_it_and_leaves_null_an_empty_field() -> None:
    line = plain(projections.csv_line([column("numeric(5,2)"), column("text", "t")], {}))
    text = """coalesce(((',"' || replace(("t"::text COLLATE "C"), '"', '""')) || '"'), ',')"""
    assert line == f"""(coalesce("c"::text, '') || {text})"""


@pytest.mark.parametrize(
    "kind",
    [
        *("bit varying", "bit varying(3)", "text", "money", "numeric[]", "int4range", "date[]"),
        *("public.date", 'public."date(3)"', 'oracle."timestamp without time zone"', "timestamps.mine"),
    ],
)
def test_types_whose_text_may_be_empty_or_hold_a_comma_are_quoted(kind: str) -> None:
    quoted = """coalesce((('"' || replace(("c"::text COLLATE "C"), '"', '""')) || '"'), '')"""
    assert plain(projections.csv_line([column(kind)], {})) == quoted


def test_a_header_quotes_the_names_that_need_it() -> None:
    names = ["id", "a,b", 'the "x"', "two\nlines", " padded", "Größe"]
    header = projections.csv_header([column("text", name) for name in names])
    assert header == 'id,"a,b","the ""x""","two\nlines"," padded",Größe'


def test_an_array_is_joined_where_the_entry_asks_for_it() -> None:
    line = projections.csv_line([column("text[]")], {"c": {"join": "\\'"}})
    assert """array_to_string("c", E'\\\\''')""" in line


def test_joining_what_is_no_array_names_the_column() -> None:
    with pytest.raises(InvalidInputError, match="column c is text, and join needs an array"):
        projections.csv_line([column("text")], {"c": {"join": ","}})


@pytest.mark.parametrize("kind", ["bigint", "boolean", "bytea", "double precision", "numeric(38,0)", "numeric(10,2)"])
def test_parquet_keeps_the_types_that_spark_has(kind: str) -> None:
    assert projections.typed_projections([column(kind)], {}, ()) == [Projection("c", '"c"')]


@pytest.mark.parametrize(
    "kind",
    [
        "numeric",
        "numeric(39,2)",
        "numeric(5,-2)",
        "numeric(2,4)",
        "numeric(10,2)[]",
        "jsonb",
        "date[]",
        "timestamp without time zone[]",
        "interval",
        *("public.date", "public.bigint", 'public."numeric(10,2)"', "timestamps.mine"),
    ],
)
def test_parquet_has_text_for_the_types_that_spark_lacks(kind: str) -> None:
    assert projections.typed_projections([column(kind)], {}, ()) == [Projection("c", '"c"::pg_catalog.text')]


@pytest.mark.parametrize(
    ("kind", "conversion"),
    [
        ("date", "date_from_unix_date({})"),
        ("timestamp with time zone", "timestamp_micros({})"),
        ("timestamp(3) with time zone", "timestamp_micros({})"),
        ("timestamp without time zone", "CAST(timestamp_micros({}) AS TIMESTAMP_NTZ)"),
    ],
)
def test_dates_travel_as_numbers_that_no_calendar_of_java_touches(kind: str, conversion: str) -> None:
    [projection] = projections.typed_projections([column(kind)], {}, ())
    assert projection.spark_expression == conversion


def test_a_missing_date_column_names_the_columns_there_are() -> None:
    with pytest.raises(InvalidInputError, match="has no column at: date_column must be one of c"):
        date_column([column("date")], "at", "public.t", "UTC")


@pytest.mark.parametrize("kind", ["text", "integer", "date[]", "time without time zone", "daterange"])
def test_a_date_column_that_is_no_date_names_its_type(kind: str) -> None:
    with pytest.raises(InvalidInputError, match=r"column c of public.t is .*: date_column must be a date"):
        date_column([column(kind)], "c", "public.t", "UTC")


def test_a_precision_does_not_hide_a_timestamp() -> None:
    found = date_column([column("timestamp(3) with time zone")], "c", "public.t", "UTC")
    assert found.base_type == "timestamp with time zone"


def test_the_reason_of_a_failed_spark_job_is_the_exception_of_its_task() -> None:
    text = (
        "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 1 times, most"
        " recent failure: Lost task 0.0 in stage 1.0 (TID 1) (host executor driver): org.postgresql.util.PSQLException:"
        " ERROR: canceling statement\n\tat org.postgresql..."
    )
    assert spark_reason(text) == "org.postgresql.util.PSQLException: ERROR: canceling statement"
    assert spark_reason("java.io.IOException: No space left\n\tat x") == "java.io.IOException: No space left"
    wrapped = (
        "org.apache.spark.SparkException: Job aborted: Lost task 0.0 (TID 63) (host executor driver):"
        " org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows\n\tat org.apache...\n"
        "Caused by: org.postgresql.util.PSQLException: FATAL: terminating connection\n\tat org...\n"
        "Caused by: java.io.EOFException\n"
    )
    assert spark_reason(wrapped) == "org.postgresql.util.PSQLException: FATAL: terminating connection"
    assert spark_reason(wrapped.split("\nCaused by: org", maxsplit=1)[0]).endswith("Task failed while writing rows")


def test_a_value_that_spark_lacks_is_null_and_has_its_text_in_a_further_column() -> None:
    columns = [column("date", "at"), column("text", "at_text")]
    at, _, told = projections.typed_projections(columns, {}, ["at"])
    assert plain(at.expression) == """CASE WHEN NOT isfinite("at") THEN NULL ELSE ("at" - date '1970-01-01') END"""
    assert plain(told.expression) == 'CASE WHEN NOT isfinite("at") THEN "at"::text END'
    assert told.name == "at_text_"


def test_a_decimal_keeps_its_precision_where_a_nan_is_left_out() -> None:
    [amount, _] = projections.typed_projections([column("numeric(10,2)")], {}, ["c"])
    assert plain(amount.expression) == """(CASE WHEN ("c" = 'NaN') THEN NULL ELSE "c" END)::numeric(10,2)"""


def test_only_dates_timestamps_and_decimals_have_values_that_spark_lacks() -> None:
    kinds = ["date", "timestamp(3) with time zone", "numeric(10,2)", "numeric", "bigint", "double precision", "date[]"]
    conditions = projections.lossy_conditions([column(kind, kind) for kind in kinds], {})
    assert list(conditions) == kinds[:3]
    assert projections.lossy_conditions([column("date", "c")], {"c": {"join": ","}}) == {}


@pytest.mark.parametrize("kind", ["date", "timestamp without time zone", "timestamp with time zone"])
def test_no_name_in_the_sql_that_is_sent_depends_on_the_search_path(kind: str) -> None:
    date = DateColumn("at", kind, "America/Chicago")
    every = [column(kind, "at"), column("numeric(10,2)"), column("text[]", "t"), column("public.mine", "m")]
    every += [column("text", name) for name in TREATED]
    rows = sql.Rows(sql.in_partitions(date, [FEBRUARY, Month(2025, 1), UNDATED]), date.month_day, (1, 2))
    lossy = projections.lossy_conditions(every, {})
    treated: dict[str, Options] = {"t": {"join": ","}, **TREATED}
    line, *rest = [one.expression for one in projections.csv_parts(every, treated)]
    typed = [one.expression for one in projections.typed_projections(every, treated, list(lossy))]
    for text in (
        sql.count_by_month("public.t", date, rows.condition, lossy, blocks=True),
        sql.select_lines("public.t", "at,c", line, "ctid", rows, rest),
        sql.select_typed("public.t", typed, "ctid", rows),
        sql.slice_of_lines(sql.slices(date, Month(9999, 3), 1)[0], (1, 2)),
        sql.of_days(date, (1, 2)),
    ):
        assert left_to_the_path(text) == []


TREATED: dict[str, Options] = {
    "hashed": {"hash": True},
    "first": {"mask": {"first": 3}},
    "last": {"mask": {"last": 4}},
    "domain": {"mask": {"domain": True}},
}


def test_the_parts_of_a_line_are_texts_and_values_to_hash_in_turn() -> None:
    names = ["a", "b", "c", "d", "e"]
    parts = projections.csv_parts([column("int", name) for name in names], {n: {"hash": True} for n in ("a", "c", "d")})
    assert [plain(part.expression) for part in parts] == [
        "''",
        '"a"::text',
        """(coalesce(((',"' || replace(("b"::text COLLATE "C"), '"', '""')) || '"'), ',') || ',')""",
        '"c"::text',
        "','",
        '"d"::text',
        """coalesce(((',"' || replace(("e"::text COLLATE "C"), '"', '""')) || '"'), ',')""",
    ]
    assert [part.spark_expression is not None for part in parts] == [False, True, False, True, False, True, False]


def test_a_line_without_hashes_is_one_part() -> None:
    columns = [column("text"), column("text", "last")]
    [part] = projections.csv_parts(columns, {"last": TREATED["last"]})
    assert part.expression == projections.csv_line(columns, {"last": TREATED["last"]})


def test_a_column_that_is_treated_has_no_values_that_spark_lacks() -> None:
    assert projections.lossy_conditions([column("date", "first")], TREATED) == {}


def left_to_the_path(text: str) -> list[str]:
    """What PostgreSQL looks up along search_path in `text`: operators, and functions and types that are no keywords."""
    text = re.sub(r"""E?'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|public\.t\b""", " ", text)
    text = re.sub(r"OPERATOR\(pg_catalog\.[^)]+\)|::bigint|::int\b|::numeric|::(?=pg_catalog\.)|-\d+", " ", text)
    text = text.replace("count(*)", "count()")
    operators = re.findall(r"[-+*/<>=~!@#%^&|`?:]+|\b(?:IN|BETWEEN|NULLIF|USING|DATE)\b", text)
    functions = set(re.findall(r"(?<![\w.])(\w+)\(", text)) - {"extract", "coalesce", "numeric"}
    types = re.findall(r"(?<!\.)\b(?:date|text|point|tid)\b", text)
    return [*operators, *functions, *types]


def test_a_literal_is_read_alike_under_every_setting_of_quotes() -> None:
    assert sql.literal("it's") == "'it''s'"
    assert sql.literal("\\'") == "E'\\\\'''"
