"""The hash against the reference implementation."""

from __future__ import annotations

import random

import pytest
from xxhash import xxh64_intdigest

from spark_scripts.lake.xxh64 import xxh64


@pytest.mark.parametrize("seed", [0, 42, 2**64 - 1])
def test_it_is_that_of_the_reference_for_every_length(seed: int) -> None:
    data = random.Random(seed).randbytes(300)  # noqa: S311 (no secret)
    for length in range(300):
        assert xxh64(data[:length], seed) == xxh64_intdigest(data[:length], seed), length


def test_it_is_that_of_the_reference_where_sums_and_rotations_overflow() -> None:
    for data in (b"\xff" * 97, b"\0" * 97, b"\x80" * 64, "ä€😀".encode() * 9):
        assert xxh64(data, 42) == xxh64_intdigest(data, 42)
