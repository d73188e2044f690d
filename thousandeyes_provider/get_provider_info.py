"""What Airflow reads when it discovers this provider.

Airflow calls `get_provider_info` in every process that lists providers, so this module imports only the standard
library and `config`. The connection form is declared only here: Airflow 3.2 and later read this declaration, earlier
versions call `ThousandEyesHook.get_connection_form_widgets`.
"""

from __future__ import annotations

from typing import Any

from thousandeyes_provider.config import provider_config

CONNECTION_TYPE = "thousandeyes"
CONNECTION_LABEL = "ThousandEyes"

# The extra fields of the connection, by their names in `extra`. An empty field stores null on Airflow 3 and nothing on
# 2.11, so numbers have no default here: the hook applies it and the description names it. Booleans have a default,
# since the form shows null as "off".
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "account_group_id": {
        "label": "Account group ID",
        "description": "Account group of every request, unless a task sets another. Empty: the token's default.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Request timeout",
        "description": "Seconds that one request may take. Empty: 30.",
        "schema": {"type": ["number", "null"], "minimum": 1},
    },
    "retry_limit": {
        "label": "Attempts per request",
        "description": "Maximum number of attempts for one request; rate-limit waits do not count. Empty: 5.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "queue_timeout": {
        "label": "Rate limit timeout",
        "description": "Seconds that one request may wait for rate limits. Empty: 300.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "proxies": {
        "label": "Proxies",
        "description": 'JSON object of scheme and proxy: {"https": "http://proxy.example.com:3128"}.',
        "schema": {"type": ["object", "null"]},
    },
    "verify": {
        "label": "Verify certificate",
        "description": "true, false, or the path of a CA bundle. Empty: true.",
        "schema": {"type": ["string", "null"]},
    },
    "cert": {
        "label": "Client certificate",
        "description": "Path of a PEM file with certificate and key, or a JSON list of their two paths.",
        "schema": {"type": ["string", "null"]},
    },
    "trust_env": {
        "label": "Trust the environment",
        "description": "Whether proxy and certificate variables of the worker apply: true (the default) or false.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
    "allow_http": {
        "label": "Allow plain http",
        "description": "Whether the token may be sent unencrypted to hosts other than this machine: true or false "
        "(the default).",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}

# Appearance of the standard fields. Placeholders of extra fields are shown only before Airflow 3.
FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login"],
    "relabeling": {"host": "API address", "schema": "Scheme", "password": "API token (bearer)"},
    "placeholders": {
        "host": "https://api.thousandeyes.com",
        "schema": "https",
        "port": "443",
        "password": "OAuth bearer token of a ThousandEyes user",
        "extra": '{"account_group_id": "1234", "timeout": 30}',
        "account_group_id": "1234",
        "timeout": "30",
        "retry_limit": "5",
        "queue_timeout": "300",
        "proxies": '{"https": "http://proxy.example.com:3128"}',
        "verify": "true",
        "cert": "/etc/ssl/client.pem",
        "trust_env": "true",
        "allow_http": "false",
    },
}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider to Airflow (entry point ``apache_airflow_provider``)."""
    return {
        "package-name": "airflow-provider-thousandeyes",
        "name": "ThousandEyes",
        "description": "`Cisco ThousandEyes <https://www.thousandeyes.com/>`__: instant tests as steps of a pipeline.",
        "integrations": [
            {
                "integration-name": "ThousandEyes",
                "external-doc-url": "https://docs.thousandeyes.com/",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {
                "integration-name": "ThousandEyes",
                "python-modules": ["thousandeyes_provider.hooks.thousandeyes"],
            }
        ],
        "operators": [
            {
                "integration-name": "ThousandEyes",
                "python-modules": ["thousandeyes_provider.operators.instant_test"],
            }
        ],
        "sensors": [
            {
                "integration-name": "ThousandEyes",
                "python-modules": ["thousandeyes_provider.sensors.instant_test"],
            }
        ],
        "triggers": [
            {
                "integration-name": "ThousandEyes",
                "python-modules": [
                    "thousandeyes_provider.triggers.instant_test",
                    "thousandeyes_provider.triggers.turns",
                ],
            }
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": "thousandeyes_provider.hooks.thousandeyes.ThousandEyesHook",
                "hook-name": CONNECTION_LABEL,
                "ui-field-behaviour": FIELD_BEHAVIOUR,
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
        "config": provider_config(),
        "cli": ["thousandeyes_provider.cli.definition.get_thousandeyes_cli_commands"],
        "extra-links": [
            "thousandeyes_provider.links.thousandeyes.ThousandEyesTestLink",
            "thousandeyes_provider.links.thousandeyes.ThousandEyesRoundLink",
            "thousandeyes_provider.links.thousandeyes.ThousandEyesSnapshotLink",
            "thousandeyes_provider.links.report.ThousandEyesReportLink",
        ],
    }
