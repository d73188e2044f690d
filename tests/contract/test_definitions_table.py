"""The table of definition fields matches the SDK's request models and the API description."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import pytest

from thousandeyes_provider.api.definition_schema import FIELDS, READ_ONLY, SCHEDULING, Field
from thousandeyes_provider.api.result_types import TEST_TYPES

pytestmark = pytest.mark.xdist_group("sdk")

NEWER = {"chromiumTrack", "flagCollectConsoleLogs", "requestMethod", "vaultCredentials"}
"""Fields of the SDK that are not in the description."""

OLDER = {"agentInterfaces"}
"""Fields of the description that are not in the SDK."""

KINDS = {"string": "text", "integer": "whole", "boolean": "flag", "array": "list", "object": "object"}


def of_models(annotation: Any) -> Iterator[Any]:
    """Yield the types in an annotation of a model."""
    parts = typing.get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from of_models(part)


@pytest.mark.parametrize("test_type", TEST_TYPES)
def test_the_sdks_model_has_the_same_fields(sdk: Any, test_type: str) -> None:
    model, fields = sdk.request_model(test_type), FIELDS[test_type]
    model_fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert model_fields.keys() - READ_ONLY == fields.keys() - OLDER
    for name in fields.keys() - OLDER:
        field = fields[name]
        assert model_fields[name].is_required() == field.required, name
        choices = {
            str(member.value)
            for part in of_models(model_fields[name].annotation)
            if isinstance(part, type) and issubclass(part, Enum)
            for member in part
        }
        known = {choice for choice in choices if "unknown" not in choice.lower()}
        assert known == set(field.choices), name


def flat(schemas: Mapping[str, Any], schema: Any) -> tuple[dict[str, Any], set[str]]:
    """Return the properties of a schema and its parts, and the required ones."""
    schema = resolved(schemas, schema)
    properties, required = dict(schema.get("properties", {})), set(schema.get("required", ()))
    for part in schema.get("allOf", ()):
        further, needed = flat(schemas, part)
        properties, required = {**further, **properties}, required | needed
    return properties, required


def resolved(schemas: Mapping[str, Any], schema: Any) -> Any:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    return schema


def check(schemas: Mapping[str, Any], schema: Any, fields: Mapping[str, Field]) -> int:
    """Check that the table matches the properties of a schema. Return the number of properties."""
    properties, required = flat(schemas, schema)
    checked = 0
    for name, declared in properties.items():
        full = {
            **resolved(schemas, declared),
            **{key: value for key, value in declared.items() if key != "$ref"},
        }
        if full.get("readOnly"):
            assert name in READ_ONLY
            continue
        field = fields[name]
        assert field.kind in (KINDS[full["type"]], "any"), name
        assert set(full.get("enum", ())) == set(field.choices), name
        assert (name in required) == field.required, name
        if field.kind == "whole":
            assert (full.get("minimum"), full.get("maximum")) == (field.low, field.high), name
        if full.get("writeOnly") and full["type"] == "string":
            assert field.secret, name
        if field.members:
            items = full.get("items", full)
            checked += check(schemas, items, field.members) if "agentId" not in field.members else 0
        checked += 1
    assert fields.keys() - NEWER <= properties.keys()
    return checked


@pytest.mark.parametrize("test_type", TEST_TYPES)
def test_the_description_has_the_same_fields(description: Any, tally: dict[str, int], test_type: str) -> None:
    operation = description.document["paths"][f"/tests/{test_type}/instant"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    schemas = description.document["components"]["schemas"]
    tally["fields"] = tally.get("fields", 0) + check(schemas, schema, FIELDS[test_type])


@pytest.mark.parametrize("test_type", TEST_TYPES)
def test_fields_of_scheduled_tests_only_are_marked(description: Any, test_type: str) -> None:
    responses = description.document["paths"][f"/tests/{test_type}/{{testId}}"]["get"]["responses"]
    schema = responses["200"]["content"]["application/hal+json"]["schema"]
    scheduled, _ = flat(description.document["components"]["schemas"], schema)
    credentials = {"port", "user", "authUser", "password", "protocol", "sipRegistrar"}
    further = scheduled.keys() - FIELDS[test_type].keys() - READ_ONLY - SCHEDULING
    assert further == (credentials if test_type == "sip-server" else set())
