"""The report pages as a plugin of Airflow 3.1 and later.

Every process of Airflow imports this module, workers for each task: it imports nothing but the standard library and
:class:`AirflowPlugin`. Only the API server reads ``react_apps`` and ``fastapi_apps``, so that the rest is built there.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import AirflowPlugin

BUNDLE = Path(__file__).parent / "bundle"
"""Where ``make ui`` puts what it builds."""

PLUGIN_FILE = "plugin.js"
ICON_FILE = "icon.svg"

URL_PREFIX = "/thousandeyes"
"""Where the API server serves :data:`BUNDLE`."""

URL_ROUTE = "thousandeyes"
"""The pages are at ``plugin/thousandeyes``, below Airflow's address."""

FIRST_VERSION = (3, 1)
"""The first Airflow that shows pages of plugins that are written in React."""

log = logging.getLogger(__name__)


def minor_version(version: str = airflow_version) -> tuple[int, int]:
    """The major and the minor version of Airflow."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def bundle_url(version: tuple[int, int], digest: str) -> str:
    """The address of the script, relative in every version, so that it is right behind a proxy and with a base path.

    Airflow 3.3 resolves it against the address of Airflow. Airflow 3.1 and 3.2 import it as it stands, from a script in
    ``static/assets/``.

    :param version: major and minor version of Airflow.
    :param digest: makes browsers load the script again when it has changed.
    """
    folder = URL_PREFIX.removeprefix("/")
    base = "" if version >= (3, 3) else "../../"
    return f"{base}{folder}/{PLUGIN_FILE}?v={digest}"


class ThousandEyesPlugin(AirflowPlugin):
    """Registers the entry "ThousandEyes" in Airflow's navigation, and serves the script behind it.

    Where Airflow is older than 3.1, or the bundle is not built, it registers nothing.
    """

    name = "thousandeyes"

    @cached_property
    def _is_available(self) -> bool:
        if minor_version() < FIRST_VERSION:
            return False
        if (BUNDLE / PLUGIN_FILE).is_file():
            return True
        log.warning(
            "ThousandEyes report pages are not available: %s is missing. "
            "Install a released wheel, or run `make ui` in the source tree (needs Node.js)",
            BUNDLE / PLUGIN_FILE,
        )
        return False

    @cached_property
    def react_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The pages: an entry of the navigation."""
        if not self._is_available:
            return []
        digest = hashlib.sha256((BUNDLE / PLUGIN_FILE).read_bytes()).hexdigest()[:12]
        return [
            {
                "name": "ThousandEyes",
                "bundle_url": bundle_url(minor_version(), digest),
                "destination": "nav",
                "url_route": URL_ROUTE,
                "category": "browse",
                "icon": f"{URL_PREFIX.removeprefix('/')}/{ICON_FILE}",
            }
        ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The static files. Anybody may read them, so there is no data among them: the pages get it from Airflow's REST
        API, with the permissions of the reader.
        """
        if not self._is_available:
            return []
        from starlette.staticfiles import StaticFiles

        return [
            {
                "name": "ThousandEyes report pages",
                "app": StaticFiles(directory=BUNDLE),
                "url_prefix": URL_PREFIX,
            }
        ]
