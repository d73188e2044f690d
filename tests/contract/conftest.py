"""What ThousandEyes publishes about its API, for the tests that hold the simulator and the hooks against it.

That is its Python SDK, a development dependency, and the OpenAPI description, when it is at hand.
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
"""The environment variable that says where the OpenAPI description is."""

TOKEN = "contract-token"

# How the SDK names what the API calls by another name; everything else is the API's name with underscores.
_CREATE = {"web-transactions": "web_transaction", "dnssec": "dns_sec"}
_GET = {"dnssec": "dns_sec"}
_RESULTS = {"web-transactions": "web_transaction", "dns-server": "dns_servers", "dnssec": "dns_sec"}


def _underscored(name: str) -> str:
    return name.replace("-", "_")


@dataclass(frozen=True)
class Exchange:
    """A request that reached the simulator, and what it answered (``None``: nothing)."""

    call: ReceivedRequest
    answer: SimulatedResponse | None

    @property
    def body(self) -> Any:
        """The JSON body of the request; ``None`` when there was none."""
        return json.loads(self.call.body) if self.call.body else None

    @property
    def sent(self) -> tuple[str, tuple[str, ...], dict[str, str], Any]:
        """Everything in the request that matters to the API: method, path, query, body."""
        return self.call.method, self.call.segments, dict(self.call.query), self.body


class Sdk:
    """ThousandEyes' own client, with every operation that instant tests need under its SDK name.

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
        """The class of the request that creates a test of this type."""
        stem = _CREATE.get(test_type, _underscored(test_type))
        name = "".join(part.capitalize() for part in stem.split("_")) + "InstantTestRequest"
        return getattr(importlib.import_module("thousandeyes_sdk.instant_tests.models"), name)

    def create(self, test_type: str, definition: Mapping[str, Any], **parameters: Any) -> Any:
        """Create a test, with a definition that has gone through the SDK's request model."""
        request = self.request_model(test_type).from_dict(dict(definition))
        operation = self._operations[f"create_{_CREATE.get(test_type, _underscored(test_type))}_instant_test"]
        return operation(request, **parameters)

    def test(self, test_type: str, test_id: str, **parameters: Any) -> Any:
        """The definition of a test."""
        return self._operations[f"get_{_GET.get(test_type, _underscored(test_type))}_test"](
            test_id, **parameters
        )

    def results(self, result_type: str, test_id: str, **parameters: Any) -> Any:
        """The first page of results."""
        return self._operations[f"get_test_{_RESULTS.get(result_type, _underscored(result_type))}_results"](
            test_id, **parameters
        )

    def all_results(self, result_type: str, test_id: str, **parameters: Any) -> list[Any]:
        """The rows of all pages, as the SDK's own iteration finds them."""
        stem = _RESULTS.get(result_type, _underscored(result_type))
        return list(self._operations[f"get_test_{stem}_results_paginated"](test_id, **parameters))


_OPEN = ("SimpleTest", "AlertSimpleTest")


def surprises(value: Any, path: str = "") -> Iterator[str]:
    """What the SDK's models took although they do not know it: further fields, and words that no enumeration has.

    The models are generated to let both pass; an answer that is right has neither. Only a test as lists and results
    tell it is documented to have further fields: those of its type, which the typed lookup is checked for.
    """
    if isinstance(value, Enum) and value.name == "UNKNOWN":
        yield f"{path}: a word that the SDK does not know"
    elif isinstance(value, list):
        for entry in value:
            yield from surprises(entry, f"{path}[]")
    elif hasattr(value, "any_of_schemas"):
        # the SDK takes the first alternative, which lets everything pass: any of them may be the right one
        module = importlib.import_module(type(value).__module__.rpartition(".")[0])
        plain = value.actual_instance.model_dump(by_alias=True, exclude_unset=True, mode="json")
        alternatives = [getattr(module, name).from_dict(plain) for name in value.any_of_schemas]
        yield from min((list(surprises(each, path)) for each in alternatives), key=len)
    elif hasattr(value, "model_extra"):
        for name in () if type(value).__name__ in _OPEN else value.model_extra or {}:
            yield f"{path}.{name}: a field that the SDK does not know"
        for name, field in type(value).model_fields.items():
            yield from surprises(getattr(value, name), f"{path}.{field.alias or name}")


@pytest.fixture(scope="session")
def definitions() -> dict[str, dict[str, Any]]:
    """A definition for each test type, with most of the fields that it can have."""
    found: dict[str, dict[str, Any]] = json.loads(HERE.joinpath("definitions.json").read_text())
    return found


@pytest.fixture
def tally(record_property: Any) -> dict[str, int]:
    """Counts what this test held against the contract; the end of the run adds up what all tests did."""
    counted: dict[str, int] = {}
    record_property("contract", counted)
    return counted


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A fast simulated ThousandEyes that lists its instant tests and gives each round an id of its own."""
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
    """The requests that reach the simulator, with their bodies, which it does not keep itself."""
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
    """Checks that the SDK knows all of what one of its models was made from, and counts that."""

    def check(model: Any) -> Any:
        assert list(surprises(model)) == []
        tally["models"] = tally.get("models", 0) + 1
        return model

    return check


class Description:
    """The OpenAPI description, prepared once: which answers and requests are right.

    openapi-core does the work: it is maintained, knows OpenAPI 3.0's dialect of JSON Schema, finds the operation,
    status, media type and headers of an answer by itself, and keeps its validators.
    """

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
                spec_validator_cls=None,  # the description is taken as it is; its own faults are not ours
                extra_media_type_deserializers={
                    "application/hal+json": json.loads,
                    "application/problem+json": json.loads,
                },
            ),
        )

    def operation(self, method: str, path: str) -> str | None:
        """The ``operationId`` of a request; ``None`` for one that the description does not have."""
        return next(
            (
                name
                for known, pattern, name in self._patterns
                if known == method.lower() and pattern.fullmatch(path)
            ),
            None,
        )

    def row_fields(self, result_type: str) -> set[str]:
        """The fields that a row of this result type may have."""
        answer = self._document["paths"][f"/test-results/{{testId}}/{result_type}"]["get"]["responses"]["200"]
        (content,) = answer["content"].values()
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

    def faults_of_request(self, call: ReceivedRequest) -> list[str]:
        """What is wrong with a request."""
        return [_reason(error) for error in self.api.iter_request_errors(self._request(call))]

    def faults_of_answer(self, call: ReceivedRequest, answer: SimulatedResponse) -> list[str]:
        """What is wrong with an answer."""
        from openapi_core.testing import MockResponse

        response = MockResponse(
            answer.body,
            status_code=answer.status,
            headers=dict(answer.headers),
            content_type=answer.content_type or "application/json",
        )
        return [_reason(error) for error in self.api.iter_response_errors(self._request(call), response)]


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    problems = [
        f"{'.'.join(map(str, problem.absolute_path))}: {problem.message[:200]}"
        for problem in getattr(cause, "schema_errors", ())
    ]
    return f"{type(error).__name__}: {'; '.join(problems) or str(cause or error)[:300]}"


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The description with every object closed: what it does not list is wrong.

    OpenAPI lets an object have any further field unless told otherwise, so that a misspelt one would pass. ``allOf``
    of objects becomes one object first, since closing its parts would make each forbid the others' fields. What an
    object is said to require without having it is dropped: the typed lookup of SIP tests demands the field in which
    requests nest the credentials, while its own fields have them side by side, and so have the SDK's.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]

    def target(schema: Any) -> Any:
        while isinstance(schema, dict) and "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def members(schema: Any) -> tuple[dict[str, Any], set[str]] | None:
        """The properties of an object that may be put together from others, and those it must have."""
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
        if kinds and "additionalProperties" not in node and (found := members(node)):
            properties, required = found
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
    """The OpenAPI description. Tests that need it are skipped where it is missing."""
    beside_checkout = pytestconfig.rootpath.parent / "shared/thousandeyes/openapi-7.0.99.yaml"
    path = Path(os.environ.get(OPENAPI) or beside_checkout)
    if not path.is_file():
        pytest.skip(f"No OpenAPI description at {path}; set {OPENAPI} to the path of one")
    return Description(yaml.load(path.read_text(), Loader=yaml.CSafeLoader))
