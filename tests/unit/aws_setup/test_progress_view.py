from __future__ import annotations

import io
from dataclasses import replace

from aws_setup.commands.progress_view import ProgressView
from spark_scripts.contract.progress import Progress

BEGUN = Progress("e", ("orders: slices by ctid",), 1, "orders", all_months=2, all_rows=10)
HALF = replace(BEGUN, months=1, rows=5)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_line_and_each_change_is_reported_once() -> None:
    lines: list[str] = []
    view = ProgressView(lines.append, io.StringIO())
    view.look(lambda: BEGUN)
    view.look(lambda: HALF)  # too soon
    view.say("12:00:00 Stopping the application")
    view.end(HALF)
    assert lines == [
        "orders: slices by ctid",
        "orders: 0 of 2 months committed, 0 of 10 rows",
        "12:00:00 Stopping the application",
        "orders: 1 of 2 months committed, 5 of 10 rows",
    ]


def test_on_a_terminal_a_bar_is_overwritten_and_erased_at_the_end() -> None:
    terminal = Terminal()
    view = ProgressView(lambda line: print(line, file=terminal), terminal)
    view.look(lambda: HALF)
    assert terminal.getvalue().endswith("\r\x1b[K[##########..........] orders: 1 of 2 months committed, 5 of 10 rows")
    view.say("a line")
    bar = "[##########..........] orders: 1 of 2 months committed, 5 of 10 rows"
    assert terminal.getvalue().endswith(f"{bar}\r\x1b[Ka line\n{bar}")
    view.end(None)
    assert terminal.getvalue().endswith(f"{bar}\r\x1b[K")
