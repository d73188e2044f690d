"""CreateInstantTestOperator in a real Airflow: every test type, and masking of secrets in definitions."""

from __future__ import annotations

import json

import pytest

from thousandeyes_provider.api.result_types import TEST_TYPES

pytestmark = pytest.mark.system

AGENTS = ["Singapore", "Frankfurt, Germany"]
TARGETS = ("pr-17.example.com", "sip.example.com", "vienna-office-1")


@pytest.mark.parametrize("verdict", ["passed", "failed"])
def test_each_test_type_is_created_and_evaluated(simulator, run_dag, definitions, verdict):
    for target in TARGETS if verdict == "failed" else ():
        simulator.target(target, "down")
    kinds = [
        {"test_type": test_type, "definition": {**definition, "agents": AGENTS}}
        for test_type, definition in definitions.items()
    ]
    outcome = run_dag("created", kinds=kinds)
    for index, test_type in enumerate(definitions):
        evidence = outcome.xcoms["preview", index, "return_value"]
        assert (test_type, evidence["test_type"], evidence["verdict"]) == (test_type, test_type, verdict)
        assert outcome.states["preview", index] == ("success" if verdict == "passed" else "failed")
        assert f"[{index}]" in evidence["test_name"]
        assert evidence["test_id"] in outcome.xcoms["preview", index, "thousandeyes_test_link"]
    assert simulator.count("create") == len(TEST_TYPES) == len(definitions)
    assert simulator.count("run") == 0


def test_secrets_of_a_definition_never_leak(
    simulator, run_dag, apart_from_messages, monkeypatch, capsys, caplog
):
    secrets = {
        "password": "ftp-pass-w0rd",
        "certificate": "-----BEGIN-PRIVATE-KEY-----",
        "bearer": "b3arer-t0ken-of-theirs",
    }
    connection = {
        "conn_type": "ftp",
        "login": "probe",
        "password": secrets["password"],
        "extra": {name: secrets[name] for name in ("certificate", "bearer")},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PREVIEW_FTP", json.dumps(connection))
    caplog.set_level("DEBUG")
    outcome = run_dag("created_with_secrets", url="pr-17.example.com")
    assert set(outcome.states.values()) == {"success"}
    log_text = apart_from_messages("".join(capsys.readouterr()) + caplog.text)
    for name, secret in secrets.items():
        assert secret not in log_text, name
        assert secret not in repr(outcome), name
    assert outcome.rendered["preview", -1]["definition"]["password"] == "***"
    assert outcome.rendered["preview", -1]["definition"]["url"] == "pr-17.example.com"
    assert outcome.rendered["canary", -1]["definition"]["clientCertificate"] == "***"
    assert outcome.rendered["canary", -1]["definition"]["headers"] == ["Authorization: ***"]
