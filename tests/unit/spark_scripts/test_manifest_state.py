"""The state of the source in a manifest."""

import json
from dataclasses import replace

import pytest

from spark_scripts.contract.manifest import Column, Manifest
from spark_scripts.contract.source_state import SourceState

STATE = SourceState(3, "-12", {"system": "1"}, {"columns": "a"})
MANIFEST = Manifest(
    "t", "2024-01", "e", 3, 3, 0, 0, (), (), "csv", "at", None, None, None, 0, "2024-01-01T00:00:00+00:00", ""
)


def test_a_manifest_keeps_the_state_of_its_month() -> None:
    assert Manifest.from_json(replace(MANIFEST, source_state=STATE).to_json()).source_state == STATE


def test_a_manifest_of_a_release_without_states_is_read() -> None:
    document = json.loads(MANIFEST.to_json())
    del document["source_state"]
    assert Manifest.from_json(json.dumps(document)) == MANIFEST


@pytest.mark.parametrize("state", [{}, {"rows": 3}, "equal", {**STATE.to_document(), "more": 1}])
def test_a_state_of_another_form_is_none(state: object) -> None:
    document = {**json.loads(MANIFEST.to_json()), "source_state": state}
    assert Manifest.from_json(json.dumps(document)) == MANIFEST


def test_a_manifest_keeps_what_was_done_to_columns_and_an_older_one_says_nothing_of_it() -> None:
    hashed = Column("email", "text", None, "hashed with HMAC-SHA-256, pepper 3f2a", "citext")
    manifest = replace(MANIFEST, columns=(hashed, Column("id", "int")), left_out=("ssn",))
    document = json.loads(manifest.to_json())
    assert Manifest.from_json(json.dumps(document)) == manifest
    del document["left_out"], document["columns"][1]["treatment"], document["columns"][1]["source_type"]
    assert Manifest.from_json(json.dumps(document)) == replace(manifest, left_out=())
