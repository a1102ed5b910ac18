"""The login of the job's sessions after a rotation of the password."""

from __future__ import annotations

from dataclasses import replace

from spark_scripts.contract.database import Database
from spark_scripts.postgres.login import Login

OLD = Database(host="db", port=5432, name="shop", user="reader", password="old", sslmode="disable")
NEW = replace(OLD, password="new")


def test_each_table_that_was_refused_the_old_password_gets_the_new_one_and_the_secret_is_read_once() -> None:
    reads = []

    def read() -> Database:
        reads.append(NEW)
        return NEW

    login = Login(OLD, read)
    assert [login.renewed(OLD), login.renewed(OLD)] == [True, True]
    assert login.database == NEW
    assert len(reads) == 1


def test_a_password_that_the_secret_still_has_is_no_other_login() -> None:
    assert not Login(OLD, lambda: OLD).renewed(OLD)
    assert not Login(OLD, None).renewed(OLD)


def test_only_user_and_password_of_the_secret_are_taken_over() -> None:
    login = Login(OLD, lambda: replace(NEW, host="another"))
    assert login.renewed(OLD)
    assert login.database == NEW
