"""DAGs that create instant tests."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task
from thousandeyes_provider.operators.instant_test import CreateInstantTestOperator

QUICK = {"poll_interval": 0.07, "timeout": 4}

with DAG("created", schedule=None, params={"kinds": []}):

    @task
    def kinds(params=None):
        return params["kinds"]

    CreateInstantTestOperator.partial(task_id="preview", **QUICK).expand_kwargs(kinds())

with DAG("created_with_secrets", schedule=None, params={"url": ""}):
    CreateInstantTestOperator(
        task_id="preview",
        test_type="ftp-server",
        definition={
            "url": "{{ params.url }}",
            "requestType": "list",
            "username": "{{ conn.preview_ftp.login }}",
            "password": "{{ conn.preview_ftp.password }}",
            "agents": ["Singapore"],
        },
        **QUICK,
    )
    CreateInstantTestOperator(
        task_id="canary",
        test_type="http-server",
        definition={
            "url": "{{ params.url }}",
            "authType": "none",
            "clientCertificate": "{{ conn.preview_ftp.extra_dejson.certificate }}",
            "headers": ["Authorization: Bearer {{ conn.preview_ftp.extra_dejson.bearer }}"],
            "agents": ["Singapore"],
        },
        deferrable=True,
        **QUICK,
    )
