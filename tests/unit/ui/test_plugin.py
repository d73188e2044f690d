"""The plugin: registration by Airflow version, imports, and behavior without built pages."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import urljoin

import pytest

from thousandeyes_provider.api.metrics import METRICS
from thousandeyes_provider.ui import plugin
from thousandeyes_provider.ui.plugin import ThousandEyesPlugin

WEB = Path(plugin.__file__).parent / "web"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built bundle on an Airflow version that can show it."""
    (tmp_path / plugin.PLUGIN_FILE).write_text("globalThis.ThousandEyes = () => null")
    (tmp_path / "icon.svg").write_text("<svg/>")
    monkeypatch.setattr(plugin, "BUNDLE", tmp_path)
    monkeypatch.setattr(plugin, "minor_version", lambda: (3, 3))
    return tmp_path


def test_airflow_finds_the_plugin_by_its_entry_point() -> None:
    (point,) = metadata.distribution("airflow-provider-thousandeyes").entry_points.select(
        group="airflow.plugins"
    )
    assert point.load() is ThousandEyesPlugin


def test_importing_the_plugin_imports_only_airflows_plugin_class() -> None:
    code = (
        "import sys, logging, airflow\n"
        "from airflow.providers.common.compat.sdk import AirflowPlugin\n"
        "before = set(sys.modules)\n"
        "import thousandeyes_provider.ui.plugin\n"
        "print(*sorted(name.partition('.')[0] for name in set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    imported = set(done.stdout.split())
    assert imported <= set(sys.stdlib_module_names) | {"thousandeyes_provider"}


def test_the_pages_are_a_navigation_entry_with_relative_addresses(bundle: Path) -> None:
    (app,) = ThousandEyesPlugin().react_apps
    assert app["destination"] == "nav"
    assert app["url_route"] == "thousandeyes"
    assert app["bundle_url"].startswith("thousandeyes/plugin.js?v=")
    assert not app["icon"].startswith(("/", "http"))


def test_the_address_of_the_script_changes_with_the_script(bundle: Path) -> None:
    before = ThousandEyesPlugin().react_apps[0]["bundle_url"]
    (bundle / plugin.PLUGIN_FILE).write_text("changed")
    assert ThousandEyesPlugin().react_apps[0]["bundle_url"] != before


def test_only_the_bundle_is_served(bundle: Path) -> None:
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    (bundle.parent / "secret.txt").write_text("secret")
    (app,) = ThousandEyesPlugin().fastapi_apps
    client = TestClient(Starlette(routes=[Mount(app["url_prefix"], app["app"])]))
    response = client.get("/thousandeyes/plugin.js")
    assert response.status_code == 200
    assert "javascript" in response.headers["content-type"]
    for path in ("/", "/../secret.txt", "/%2e%2e/secret.txt", "/docs", "/openapi.json"):
        assert client.get(f"/thousandeyes{path}").status_code == 404


def test_a_missing_bundle_registers_nothing_and_logs_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plugin, "BUNDLE", tmp_path / "bundle")
    monkeypatch.setattr(plugin, "minor_version", lambda: (3, 3))
    with caplog.at_level(logging.DEBUG):
        registered = ThousandEyesPlugin()
        assert registered.react_apps == registered.fastapi_apps == []
    (line,) = caplog.messages
    assert str(tmp_path / "bundle" / "plugin.js") in line
    assert "make ui" in line


@pytest.mark.parametrize("version", [(2, 11), (3, 0)])
def test_older_airflow_registers_nothing_and_logs_nothing(
    version: tuple[int, int], bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plugin, "minor_version", lambda: version)
    with caplog.at_level(logging.DEBUG):
        registered = ThousandEyesPlugin()
        assert registered.react_apps == registered.fastapi_apps == []
    assert caplog.messages == []


@pytest.mark.parametrize("base", ["http://airflow/", "https://host/team/airflow/"])
@pytest.mark.parametrize("version", [(3, 1), (3, 2), (3, 3), (3, 10), (4, 0)])
def test_the_script_is_found_below_any_base_path(base: str, version: tuple[int, int]) -> None:
    # Airflow 3.1 and 3.2 import it from a separate script.
    importer = base if version >= (3, 3) else f"{base}static/assets/index.js"
    address = plugin.bundle_url(version, "0123")
    assert urljoin(importer, address) == f"{base}thousandeyes/plugin.js?v=0123"


def test_versions_are_compared_as_numbers() -> None:
    versions = ("2.11.2", "3.0.6", "3.1.0", "3.10.0b1")
    assert [plugin.minor_version(version) for version in versions] == [(2, 11), (3, 0), (3, 1), (3, 10)]


def test_the_pages_know_the_unit_of_every_metric() -> None:
    units = json.loads((WEB / "src" / "generated" / "units.json").read_text())
    everywhere = set.intersection(*(set(metrics) for metrics in METRICS.values()))
    assert units == {
        result_type: {
            name: metric.unit for name, metric in metrics.items() if metric.unit and name not in everywhere
        }
        | {name: metrics[name].unit for name in units[result_type] if name in everywhere}
        for result_type, metrics in METRICS.items()
    }


def test_the_locked_packages_name_no_registry() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert len(lock["packages"]) > 50
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
