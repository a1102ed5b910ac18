from __future__ import annotations

from collections.abc import Sequence

import pytest

from aws_setup.onboarding.entries import _names
from tests.unit.aws_setup.onboarding.relations import relation


@pytest.mark.parametrize(
    ("tables", "taken", "names"),
    [
        (["public.orders"], [], [None]),
        (["public.orders", "sales.orders"], [], ["public_orders", "sales_orders"]),
        (["public.orders", "sales.Orders"], [], ["public_orders", "sales_orders"]),
        (["sales.orders"], ["ORDERS"], ["sales_orders"]),
        (["sales.orders"], ["orders", "sales_orders"], ["sales_orders_2"]),
        (["public.Order Details"], [], ["order_details"]),
        (["public.a-b", "public.a b"], [], ["a_b", "public_a_b"]),
        (["public._hidden"], [], ["hidden"]),
        (["public.Größe"], [], ["grosse"]),
        (["public.表", "public.名前"], [], ["table", "public"]),
    ],
)
def test_every_entry_gets_a_name_that_hive_can_tell_from_the_others(
    tables: Sequence[str], taken: Sequence[str], names: Sequence[str | None]
) -> None:
    relations = [relation(name, schema) for schema, _, name in (table.partition(".") for table in tables)]
    assert list(_names(relations, taken)) == names
