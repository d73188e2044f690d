"""The agents and account groups of the simulated organization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thousandeyes_provider.simulator.validators import check_choice, check_number, check_text

AGENT_TYPES = ("cloud", "enterprise")
AGENT_STATES = ("online", "offline", "disabled")


@dataclass(frozen=True)
class AccountGroup:
    """An account group. The first one of an organization is the login account group of its user.

    :param aid: id, as in ``?aid=``.
    :param name: display name.
    """

    aid: str
    name: str


@dataclass(frozen=True)
class SimulatedAgent:
    """A cloud or enterprise agent.

    :param agent_id: unique id; small for cloud agents, large for enterprise agents.
    :param name: unique name.
    :param agent_type: from :data:`AGENT_TYPES`.
    :param state: from :data:`AGENT_STATES`. The API reports the state of enterprise agents only. Only online agents
        report results.
    :param location: city and country.
    :param country_id: two-letter country code.
    :param latitude: degrees.
    :param longitude: degrees.
    :raises ValueError: for an unknown type or state; the message lists the choices.
    """

    agent_id: str
    name: str
    agent_type: str = "cloud"
    state: str = "online"
    location: str = "Frankfurt am Main, Germany"
    country_id: str = "DE"
    latitude: float = 50.11
    longitude: float = 8.68

    def __post_init__(self) -> None:
        for name in ("agent_id", "name", "location", "country_id"):
            check_text(name, getattr(self, name))
        check_choice("agent_type", self.agent_type, AGENT_TYPES)
        check_choice("state", self.state, AGENT_STATES)
        check_number("latitude", self.latitude)
        check_number("longitude", self.longitude)

    @property
    def address(self) -> str:
        """IPv4 address from the range reserved for documentation (RFC 5737)."""
        return f"198.51.100.{sum(map(ord, self.agent_id)) % 250 + 1}"

    def as_result(self) -> dict[str, Any]:
        """Return the agent's fields in a row of results."""
        return {
            "agentId": self.agent_id,
            "agentName": self.name,
            "countryId": self.country_id,
            "location": self.location,
        }

    def as_listed(self) -> dict[str, Any]:
        """Return the agent as a test definition lists it. ``GET /agents`` adds fields to enterprise agents."""
        return {
            **self.as_result(),
            "agentType": self.agent_type,
            "ipAddresses": [self.address],
            "publicIpAddresses": [self.address],
            "network": "Example Transit (AS 64500)",
            "prefix": "198.51.100.0/24",
            "coordinates": {"latitude": self.latitude, "longitude": self.longitude},
            "enabled": self.state != "disabled",
            "verifySslCertificates": True,
        }


ACCOUNT_GROUPS = (AccountGroup("1001", "Network Operations"), AccountGroup("1002", "Web Platform"))

AGENTS = (
    SimulatedAgent("14410", "Frankfurt, Germany"),
    SimulatedAgent(
        "14412",
        "Ashburn, VA",
        location="Ashburn, Virginia, US",
        country_id="US",
        latitude=39.04,
        longitude=-77.49,
    ),
    SimulatedAgent(
        "14419", "Singapore", location="Singapore", country_id="SG", latitude=1.35, longitude=103.82
    ),
    SimulatedAgent(
        "281474976710801",
        "vienna-office-1",
        "enterprise",
        location="Vienna, Austria",
        country_id="AT",
        latitude=48.21,
        longitude=16.37,
    ),
    SimulatedAgent(
        "281474976710802",
        "zurich-branch-2",
        "enterprise",
        location="Zurich, Switzerland",
        country_id="CH",
        latitude=47.38,
        longitude=8.54,
    ),
)

_CITIES = (
    ("London, England", "London, United Kingdom", "GB", 51.51, -0.13),
    ("Tokyo, Japan", "Tokyo, Japan", "JP", 35.68, 139.69),
    ("Sao Paulo, Brazil", "Sao Paulo, Brazil", "BR", -23.55, -46.63),
    ("Sydney, Australia", "Sydney, Australia", "AU", -33.87, 151.21),
    ("Johannesburg, South Africa", "Johannesburg, South Africa", "ZA", -26.20, 28.05),
    ("Toronto, Canada", "Toronto, Canada", "CA", 43.65, -79.38),
    ("Mumbai, India", "Mumbai, India", "IN", 19.08, 72.88),
    ("Warsaw, Poland", "Warsaw, Poland", "PL", 52.23, 21.01),
)


def further_agent(number: int) -> SimulatedAgent:
    """Return an additional cloud agent, for tests with more agents than the default ones.

    :param number: number of the additional agent, from 0.
    """
    name, location, country_id, latitude, longitude = _CITIES[number % len(_CITIES)]
    lap = number // len(_CITIES)
    return SimulatedAgent(
        str(14500 + number),
        f"{name} ({lap + 1})" if lap else name,
        location=location,
        country_id=country_id,
        latitude=latitude,
        longitude=longitude,
    )
