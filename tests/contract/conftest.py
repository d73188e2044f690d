"""ThousandEyes' Python SDK and OpenAPI description, with which the contract tests compare simulator and hooks.

The SDK is a development dependency. Tests that need the description are skipped without it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml

from thousandeyes_provider.simulator import Simulator
from thousandeyes_provider.simulator.operations import ReceivedRequest
from thousandeyes_provider.simulator.responses import SimulatedResponse
from thousandeyes_provider.simulator.service import Service

HERE = Path(__file__).parent
OPENAPI = "THOUSANDEYES_OPENAPI"
"""Environment variable with the path of the OpenAPI description."""

TOKEN = "contract-token"

# Names of the SDK that differ from the names of the API with underscores.
_CREATE = {"web-transactions": "web_transaction", "dnssec": "dns_sec"}
_GET = {"dnssec": "dns_sec"}
_RESULTS = {"web-transactions": "web_transaction", "dns-server": "dns_servers", "dnssec": "dns_sec"}


def _underscored(name: str) -> str:
    return name.replace("-", "_")


@dataclass(frozen=True)
class Exchange:
    """A request to the simulator and the response; ``None`` if the connection was cut."""

    call: ReceivedRequest
    response: SimulatedResponse | None

    @property
    def body(self) -> Any:
        """JSON body of the request; ``None`` for an empty body."""
        return json.loads(self.call.body) if self.call.body else None

    @property
    def sent(self) -> tuple[str, tuple[str, ...], dict[str, str], Any]:
        """Method, path, query and body of the request."""
        return self.call.method, self.call.segments, dict(self.call.query), self.body


class Sdk:
    """ThousandEyes' Python client with the operations for instant tests.

    :param url: base URL of the API.
    """

    def __init__(self, url: str) -> None:
        from thousandeyes_sdk.core import ApiClient, Configuration

        self._client = ApiClient(Configuration(host=url, access_token=TOKEN))
        self._operations: dict[str, Any] = {}
        for part in (
            "instant_tests",
            "test_results",
            "tests",
            "snapshots",
            "tags",
            "alerts",
            "event_detection",
            "agents",
            "administrative",
        ):
            module = importlib.import_module(f"thousandeyes_sdk.{part}")
            for name, member in vars(module).items():
                if name.endswith("Api"):
                    api = member(self._client)
                    self._operations |= {
                        name: getattr(api, name) for name in dir(api) if not name.startswith("_")
                    }

    def __getattr__(self, name: str) -> Any:
        try:
            return self._operations[name]
        except KeyError:
            raise AttributeError(name) from None

    @staticmethod
    def request_model(test_type: str) -> Any:
        """Return the model of the request that creates a test of this type."""
        stem = _CREATE.get(test_type, _underscored(test_type))
        name = "".join(part.capitalize() for part in stem.split("_")) + "InstantTestRequest"
        return getattr(importlib.import_module("thousandeyes_sdk.instant_tests.models"), name)

    def create(self, test_type: str, definition: Mapping[str, Any], **parameters: Any) -> Any:
        """Create a test from a definition that the SDK's request model has parsed."""
        request = self.request_model(test_type).from_dict(dict(definition))
        operation = self._operations[f"create_{_CREATE.get(test_type, _underscored(test_type))}_instant_test"]
        return operation(request, **parameters)

    def test(self, test_type: str, test_id: str, **parameters: Any) -> Any:
        """Return the definition of a test."""
        return self._operations[f"get_{_GET.get(test_type, _underscored(test_type))}_test"](
            test_id, **parameters
        )

    def results(self, result_type: str, test_id: str, **parameters: Any) -> Any:
        """Return the first page of results."""
        return self._operations[f"get_test_{_RESULTS.get(result_type, _underscored(result_type))}_results"](
            test_id, **parameters
        )

    def all_results(self, result_type: str, test_id: str, **parameters: Any) -> list[Any]:
        """Return the rows of all pages, read with the SDK's iterator."""
        stem = _RESULTS.get(result_type, _underscored(result_type))
        return list(self._operations[f"get_test_{stem}_results_paginated"](test_id, **parameters))


_OPEN = ("SimpleTest", "AlertSimpleTest")


def unknown_parts(value: Any, path: str = "") -> Iterator[str]:
    """Yield unknown fields and unknown enumeration values in a model of the SDK.

    The generated models accept both. A correct response contains neither, with one exception: a test in lists and
    results may have the fields of its type. The typed lookup checks these fields.
    """
    if isinstance(value, Enum) and value.name == "UNKNOWN":
        yield f"{path}: value unknown to the SDK"
    elif isinstance(value, list):
        for entry in value:
            yield from unknown_parts(entry, f"{path}[]")
    elif hasattr(value, "any_of_schemas"):
        # The SDK parses the first alternative, which accepts everything. The best match counts.
        module = importlib.import_module(type(value).__module__.rpartition(".")[0])
        plain = value.actual_instance.model_dump(by_alias=True, exclude_unset=True, mode="json")
        alternatives = [getattr(module, name).from_dict(plain) for name in value.any_of_schemas]
        yield from min((list(unknown_parts(alternative, path)) for alternative in alternatives), key=len)
    elif hasattr(value, "model_extra"):
        for name in () if type(value).__name__ in _OPEN else value.model_extra or {}:
            yield f"{path}.{name}: field unknown to the SDK"
        for name, field in type(value).model_fields.items():
            yield from unknown_parts(getattr(value, name), f"{path}.{field.alias or name}")


@pytest.fixture(scope="session")
def definitions() -> dict[str, dict[str, Any]]:
    """A definition of each test type with most of its fields."""
    definitions: dict[str, dict[str, Any]] = json.loads(HERE.joinpath("definitions.json").read_text())
    return definitions


@pytest.fixture
def tally(record_property: Any) -> dict[str, int]:
    """The comparisons of this test by kind. pytest prints the totals of all tests."""
    counted: dict[str, int] = {}
    record_property("contract", counted)
    return counted


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A fast simulated ThousandEyes. It lists instant tests, and every round has its own id."""
    with Simulator(
        tokens=[TOKEN],
        speed=1000,
        instant_limit=1000,
        organization_limit=100_000,
        listed_in_tests=True,
        round_ids="second",
    ) as running:
        yield running


@pytest.fixture
def exchanges(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """The requests to the simulator with their bodies, which the simulator does not store."""
    seen: list[Exchange] = []
    handle = Service.handle

    def recorded(self: Service, call: ReceivedRequest, now: float) -> Any:
        delivery = handle(self, call, now)
        seen.append(Exchange(call, delivery.response))
        return delivery

    monkeypatch.setattr(Service, "handle", recorded)
    return seen


@pytest.fixture
def sdk(simulator: Simulator) -> Sdk:
    """The SDK's client, connected to the simulator."""
    return Sdk(f"{simulator.url}/v7")


@pytest.fixture
def check_model(tally: dict[str, int]) -> Any:
    """A function that checks that a model has no field or value unknown to the SDK, and counts the check."""

    def check(model: Any) -> Any:
        assert list(unknown_parts(model)) == []
        tally["models"] = tally.get("models", 0) + 1
        return model

    return check


class Description:
    """The OpenAPI description, which validates requests and responses with openapi-core."""

    BASE = "https://api.thousandeyes.com"

    def __init__(self, document: dict[str, Any]) -> None:
        from openapi_core import Config, OpenAPI

        self.document = document
        self.version = document["info"]["version"]
        self.operations = {
            (method, path): operation["operationId"]
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if isinstance(operation, dict) and "operationId" in operation
        }
        self._patterns = [
            (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), name)
            for (method, path), name in sorted(
                self.operations.items(), key=lambda item: item[0][1].count("{")
            )
        ]
        self._document = closed(document)
        self.api = OpenAPI.from_dict(
            self._document,
            config=Config(
                spec_validator_cls=None,  # do not validate the description itself
                extra_media_type_deserializers={
                    "application/hal+json": json.loads,
                    "application/problem+json": json.loads,
                },
            ),
        )

    def operation(self, method: str, path: str) -> str | None:
        """Return the ``operationId`` of a request; ``None`` for an operation that is not in the description."""
        return next(
            (
                name
                for known, pattern, name in self._patterns
                if known == method.lower() and pattern.fullmatch(path)
            ),
            None,
        )

    def row_fields(self, result_type: str) -> set[str]:
        """Return the fields of a row of this result type."""
        response = self._document["paths"][f"/test-results/{{testId}}/{result_type}"]["get"]["responses"][
            "200"
        ]
        (content,) = response["content"].values()
        rows = self._resolved(self._resolved(content["schema"])["properties"]["results"])
        return set(self._resolved(rows["items"])["properties"])

    def _resolved(self, schema: Any) -> Any:
        while "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def _request(self, call: ReceivedRequest) -> Any:
        from openapi_core.testing import MockRequest

        return MockRequest(
            self.BASE,
            call.method.lower(),
            "/v7/" + "/".join(call.segments),
            args=dict(call.query),
            headers={"Authorization": call.authorization or "Bearer none"},
            data=call.body or None,
            content_type="application/json",
        )

    def errors_of_request(self, call: ReceivedRequest) -> list[str]:
        """Return the validation errors of a request."""
        return [_reason(error) for error in self.api.iter_request_errors(self._request(call))]

    def errors_of_response(self, call: ReceivedRequest, response: SimulatedResponse) -> list[str]:
        """Return the validation errors of a response."""
        from openapi_core.testing import MockResponse

        validated = MockResponse(
            response.body,
            status_code=response.status,
            headers=dict(response.headers),
            content_type=response.content_type or "application/json",
        )
        return [_reason(error) for error in self.api.iter_response_errors(self._request(call), validated)]


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    problems = [
        f"{'.'.join(map(str, problem.absolute_path))}: {problem.message[:200]}"
        for problem in getattr(cause, "schema_errors", ())
    ]
    return f"{type(error).__name__}: {'; '.join(problems) or str(cause or error)[:300]}"


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the description with ``additionalProperties: false`` in every object.

    OpenAPI allows additional fields by default, so a misspelled field would pass. Objects combined with ``allOf`` are
    merged first; otherwise each part would reject the fields of the others. Required fields that an object does not
    define are dropped: the typed lookup of SIP tests requires ``targetSipCredentials`` but defines the credentials as
    separate fields, as does the SDK.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]

    def target(schema: Any) -> Any:
        while isinstance(schema, dict) and "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def members(schema: Any) -> tuple[dict[str, Any], set[str]] | None:
        """Return all properties of an object, including those of ``allOf``, and the required ones."""
        schema = target(schema)
        if "allOf" not in schema:
            return (
                (dict(schema.get("properties", {})), set(schema.get("required", ())))
                if "properties" in schema
                else None
            )
        parts = [own for part in schema["allOf"] if (own := members(part))]
        if not parts:
            return None
        properties: dict[str, Any] = {}
        for own, _ in parts:
            properties |= own
        properties |= schema.get("properties", {})
        return properties, set(schema.get("required", ())).union(*(required for _, required in parts))

    def rewrite(node: Any) -> Any:
        if isinstance(node, list):
            return [rewrite(entry) for entry in node]
        if not isinstance(node, dict):
            return node
        kinds = {"properties", "allOf"} & set(node)
        if kinds and "additionalProperties" not in node and (parts := members(node)):
            properties, required = parts
            made: dict[str, Any] = {
                "type": "object",
                "properties": {name: rewrite(schema) for name, schema in properties.items()},
                "additionalProperties": False,
            }
            if required & set(properties):
                made["required"] = sorted(required & set(properties))
            return made
        return {name: rewrite(value) for name, value in node.items()}

    rewritten: dict[str, Any] = rewrite(document)
    return rewritten


@pytest.fixture(scope="session")
def description(pytestconfig: pytest.Config) -> Description:
    """The OpenAPI description. Tests that request it are skipped if the file does not exist."""
    beside_checkout = pytestconfig.rootpath.parent / "shared/thousandeyes/openapi-7.0.99.yaml"
    path = Path(os.environ.get(OPENAPI) or beside_checkout)
    if not path.is_file():
        pytest.skip(f"No OpenAPI description at {path}; set {OPENAPI} to the path of one")
    return Description(yaml.load(path.read_text(), Loader=yaml.CSafeLoader))
