from spark_scripts.contract.database import startup_options
from spark_scripts.postgres import session

ALL = list(session.KNOWN)


def test_readers_join_the_snapshot_before_any_query_and_under_no_limit_of_the_role() -> None:
    statements = session.reader_init(ALL, "00000003-1", {}).split("; ")
    assert statements[:3] == [
        "SET LOCAL statement_timeout = '0'",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET TRANSACTION SNAPSHOT '00000003-1'",
    ]
    assert "SET LOCAL TimeZone = 'UTC'" in statements
    assert all(statement.startswith("SET ") for statement in statements)


def test_without_a_snapshot_readers_fix_the_settings_only() -> None:
    assert "SNAPSHOT" not in session.reader_init(ALL, None, {})


def test_a_setting_that_the_server_does_not_have_is_left_out() -> None:
    old = [name for name in ALL if name != "transaction_timeout"]
    assert "transaction_timeout" in session.reader_init(ALL, None, {})
    assert "transaction_timeout" not in session.reader_init(old, None, {})


def test_the_entry_of_a_table_decides_lock_timeout_and_row_security() -> None:
    init = session.reader_init(ALL, None, session.table_settings(3, row_security=True))
    assert "SET LOCAL lock_timeout = '3s'" in init
    assert "SET LOCAL row_security = 'on'" in init
    assert init.count("lock_timeout") == 1


def test_spaces_and_backslashes_in_startup_options_are_escaped() -> None:
    assert startup_options({"DateStyle": "ISO, MDY", "x": "a\\b"}) == r"-c DateStyle=ISO,\ MDY -c x=a\\b"
