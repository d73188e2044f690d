"""The installed distribution in Airflow's commands, and the contents of the wheel.

The tests build a wheel. ``make dist`` sets ``THOUSANDEYES_WHEEL`` to the wheel that it built and installed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import thousandeyes_provider
from thousandeyes_provider.get_provider_info import (
    CONNECTION_FIELDS,
    CONNECTION_LABEL,
    CONNECTION_TYPE,
    FIELD_BEHAVIOUR,
    get_provider_info,
)

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("packaging")]

AIRFLOW = tuple(map(int, metadata.version("apache-airflow").split(".")[:2]))
"""Airflow's major and minor version."""

DISTRIBUTION = "airflow-provider-thousandeyes"
CHECKOUT = Path(__file__).parents[2]
WHEEL = os.environ.get("THOUSANDEYES_WHEEL")
"""Path of the installed wheel; empty if the checkout is installed."""

TROUBLE = re.compile(r"warn|error|traceback|could not", re.IGNORECASE)


def airflow_environment(home: Path, **settings: str) -> dict[str, str]:
    return os.environ | {"AIRFLOW_HOME": str(home), "COLUMNS": "250"} | settings


def run(*arguments: str, cwd: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in ``cwd``, which becomes the first entry of its import path."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, **settings
    )


def entry_points(group: str) -> dict[str, str]:
    return {
        point.name: point.value
        for point in metadata.distribution(DISTRIBUTION).entry_points
        if point.group == group
    }


def test_metadata_and_package_have_the_same_version() -> None:
    assert metadata.version(DISTRIBUTION) == thousandeyes_provider.__version__


def test_airflow_finds_the_provider_by_its_entry_point() -> None:
    (point,) = metadata.distribution(DISTRIBUTION).entry_points.select(group="apache_airflow_provider")
    assert point.load()() == get_provider_info()


def test_pytest_finds_the_simulator_by_its_entry_point() -> None:
    assert entry_points("pytest11") == {
        "thousandeyes_simulator": "thousandeyes_provider.simulator.pytest_plugin"
    }


def test_the_metadata_have_no_project_urls() -> None:
    """The project has no public repository yet, so the metadata contain no project URLs."""
    assert metadata.metadata(DISTRIBUTION).get_all("Project-URL") is None


@pytest.mark.skipif(not WHEEL, reason="the checkout is installed; make dist installs wheels")
def test_the_package_is_imported_from_the_wheel() -> None:
    import airflow_provider_thousandeyes

    for package in (thousandeyes_provider, airflow_provider_thousandeyes):
        assert Path(str(package.__file__)).is_relative_to(sys.prefix)
    assert str(CHECKOUT) not in sys.path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


COMMANDS = {
    "providers list": ["airflow-provider-thousandeyes", thousandeyes_provider.__version__],
    "providers get airflow-provider-thousandeyes": [thousandeyes_provider.__version__],
    "providers hooks": ["thousandeyes_provider.hooks.thousandeyes.ThousandEyesHook", "thousandeyes_conn_id"],
    "providers links": get_provider_info()["extra-links"],
}

# Airflow takes seconds to start, so one process runs all commands.
RUN_COMMANDS = """
import sys
from airflow.__main__ import main
for command in sys.argv[1:]:
    sys.argv = ["airflow", *command.split()]
    print("$", command, flush=True)
    main()
"""


@pytest.mark.parametrize("load_examples", ["True", "False"])
def test_airflow_shows_the_provider_without_a_warning(load_examples: str, home: Path) -> None:
    environment = airflow_environment(home, AIRFLOW__CORE__LOAD_EXAMPLES=load_examples)
    done = run("-c", RUN_COMMANDS, *COMMANDS, cwd=home, env=environment)
    assert done.returncode == 0, done.stderr
    outputs = re.split(r"^\$ .*\n", done.stdout, flags=re.MULTILINE)[1:]
    for output, shown in zip(outputs, COMMANDS.values(), strict=True):
        for text in shown:
            assert text in output
    lines = (done.stdout + done.stderr).splitlines()
    assert [line for line in lines if "thousandeyes" in line.lower() and TROUBLE.search(line)] == []
    assert "Traceback" not in done.stderr


def test_airflow_registers_the_hook_and_both_links() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    with warnings.catch_warnings():
        # The web server and the CLI use this manager. Tasks of Airflow 3.3 use another manager.
        warnings.simplefilter("ignore")
        hook = manager.hooks[CONNECTION_TYPE]
    assert hook is not None
    assert (hook.hook_name, hook.package_name) == (CONNECTION_LABEL, DISTRIBUTION)
    assert hook.connection_id_attribute_name == "thousandeyes_conn_id"
    assert hook.connection_testable
    assert set(get_provider_info()["extra-links"]) <= set(manager.extra_links_class_names)


# The form is read once per process, with stand-ins for Airflow 2's form libraries, so it needs its own process.
READ_FORM = """
import json
try:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
except ImportError:
    from airflow.providers_manager import ProvidersManager
    manager = ProvidersManager()
    fields = {
        name.removeprefix("extra__thousandeyes__"): {"title": info.field.args[0], **info.field.kwargs}
        for name, info in manager.connection_form_widgets.items()
        if info.hook_class_name.endswith("ThousandEyesHook")
    }
    behaviour = manager.field_behaviours["thousandeyes"]
    standard = {
        name: {
            "hidden": name in behaviour["hidden_fields"],
            "title": behaviour["relabeling"].get(name),
            "placeholder": behaviour["placeholders"].get(name),
        }
        for name in ("host", "login", "password")
    }
else:
    (form,) = (meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "thousandeyes")
    standard = form.standard_fields.model_dump()
    fields = {
        name: {"description": field["description"], **field["schema"]}
        for name, field in form.extra_fields.items()
    }
print("FORM", json.dumps([standard, fields], default=str))
"""


def test_the_web_interface_shows_every_field_of_the_form(home: Path) -> None:
    if AIRFLOW == (3, 0):
        pytest.importorskip("flask_appbuilder", reason="Airflow 3.0 needs the FAB provider to show a form")
    done = run("-c", READ_FORM, cwd=home, env=airflow_environment(home))
    assert done.returncode == 0, done.stderr
    (form,) = re.findall(r"^FORM (.*)$", done.stdout, re.MULTILINE)
    standard, fields = json.loads(form)
    assert standard["login"]["hidden"]
    assert standard["password"]["title"] == FIELD_BEHAVIOUR["relabeling"]["password"]
    assert standard["host"]["placeholder"] == "https://api.thousandeyes.com"
    assert {name: (field["title"], field["description"]) for name, field in fields.items()} == {
        name: (field["label"], field["description"]) for name, field in CONNECTION_FIELDS.items()
    }
    if AIRFLOW >= (3, 2):
        types = {name: field["schema"]["type"] for name, field in CONNECTION_FIELDS.items()}
    elif AIRFLOW >= (3, 0):
        # ThousandEyesHook.get_connection_form_widgets explains why.
        types = {name: ["string", "null"] for name in CONNECTION_FIELDS}
    else:
        return
    assert {name: field["type"] for name, field in fields.items()} == types


def test_the_hook_class_declares_the_form_for_airflow_2() -> None:
    """Airflow reads the two methods from the class in the provider info, not from its base classes."""
    from thousandeyes_provider.hooks.thousandeyes import ThousandEyesHook

    assert {"get_ui_field_behaviour", "get_connection_form_widgets"} <= vars(ThousandEyesHook).keys()
    behaviour = ThousandEyesHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == FIELD_BEHAVIOUR["hidden-fields"]
    assert behaviour["relabeling"] == FIELD_BEHAVIOUR["relabeling"]


def build_wheel(folder: Path) -> Path:
    done = run("-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, like site-packages after an installation."""
    unpacked = tmp_path_factory.mktemp("site-packages")
    wheel = WHEEL or build_wheel(tmp_path_factory.mktemp("dist"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


has_bundles = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no bundles of DAGs")


def test_the_wheel_is_typed_and_licensed(installed_wheel: Path) -> None:
    assert (installed_wheel / "thousandeyes_provider" / "py.typed").is_file()
    assert list(installed_wheel.glob("*.dist-info/licenses/LICENSE"))


def test_the_wheel_contains_only_the_package_and_its_examples(installed_wheel: Path) -> None:
    folders = {path.name for path in installed_wheel.iterdir() if path.suffix != ".dist-info"}
    assert folders == {"thousandeyes_provider", "airflow_provider_thousandeyes"}
    assert not [path for path in installed_wheel.rglob("*") if path.suffix == ".pyc"]


def test_the_examples_of_the_wheel_can_be_imported(installed_wheel: Path, home: Path) -> None:
    script = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path), print('read', path)\n"
    folder = installed_wheel / "airflow_provider_thousandeyes" / "example_dags"
    paths = sorted(map(str, folder.glob("*.py")))
    done = run("-c", script, *paths, cwd=home, env=airflow_environment(home))
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^read (.*)$", done.stdout, re.MULTILINE) == paths != []


def test_the_simulator_prints_its_usage(home: Path) -> None:
    done = run("-m", "thousandeyes_provider.simulator", "--help", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "--port" in done.stdout


@has_bundles
def test_airflow_lists_the_examples_of_the_wheel(installed_wheel: Path, home: Path) -> None:
    script = (
        "from airflow.dag_processing.bundles.manager import DagBundlesManager\n"
        "for bundle in DagBundlesManager().get_all_dag_bundles(): print('bundle', bundle.name, bundle.path)\n"
    )
    done = run(
        "-c",
        script,
        cwd=home,
        env=airflow_environment(home, AIRFLOW__CORE__LOAD_EXAMPLES="True", PYTHONPATH=str(installed_wheel)),
    )
    assert done.returncode == 0, done.stderr
    assert "Could not load provider module" not in done.stdout + done.stderr
    examples = installed_wheel / "airflow_provider_thousandeyes" / "example_dags"
    listed = f"bundle {DISTRIBUTION}-example-dags {examples}" in done.stdout
    assert listed == (AIRFLOW >= (3, 3)), "Airflow lists examples of providers from 3.3 on"
    assert {path.name for path in examples.glob("*.py")} == {
        path.name for path in (CHECKOUT / "example_dags").glob("*.py")
    }


@has_bundles
def test_a_checkout_without_examples_raises_no_error(home: Path) -> None:
    done = run(
        "-c",
        "from airflow.dag_processing.bundles.manager import DagBundlesManager; DagBundlesManager()",
        cwd=home,
        env=airflow_environment(home, AIRFLOW__CORE__LOAD_EXAMPLES="True"),
    )
    assert done.returncode == 0, done.stderr
    assert "Could not load provider module" not in done.stdout + done.stderr
