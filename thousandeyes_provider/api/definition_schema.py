"""The fields of the definition of an instant test, for each of the twelve types.

The body of ``POST /tests/{type}/instant`` is the API's own. The table permits to check a definition before anything is
sent, and to take over the settings of a scheduled test. See `docs/thousandeyes-api.md`, "Creating a test".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Field:
    """A field of a definition.

    :param kind: ``text``, ``whole`` (a whole number), ``flag`` (true or false), ``list``, ``object``, or ``any`` for an
        object whose members are not checked.
    :param required: whether a test cannot be created without it.
    :param choices: the texts that the API description permits; empty for any.
    :param low: the smallest number that the API description permits; ``None`` for no bound.
    :param high: the largest number that the API description permits.
    :param members: the fields of an object, or of each object of a list; without members each item of a list is a text.
    :param secret: whether its value is masked and never shown in an error.
    """

    kind: str
    required: bool = False
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    members: Mapping[str, Field] = field(default_factory=dict)
    secret: bool = False


def _need(field_: Field) -> Field:
    return replace(field_, required=True)


def _one_of(*choices: str) -> Field:
    return Field("text", choices=choices)


def _each(field_: Field, *names: str) -> dict[str, Field]:
    return dict.fromkeys(names, field_)


def _whole(low: int | None = None, high: int | None = None) -> Field:
    return Field("whole", low=low, high=high)


TEXT, _FLAG, _TEXTS, _ANY = Field("text"), Field("flag"), Field("list"), Field("any")
_SECRET = Field("text", secret=True)

_PATHS = {"numPathTraces": _whole(1, 10)}
_TRACES = {**_PATHS, "pathTraceMode": _one_of("classic", "in-session")}
_DSCP_IDS = "0,8,16,24,32,40,48,56,10,12,14,18,20,22,26,28,30,34,36,38,46,44"
_DSCP = _one_of(*_DSCP_IDS.split(","))
_NETWORK = {
    **_TRACES,
    **_each(_FLAG, "mtuMeasurements", "networkMeasurements"),
    "probeMode": _one_of("auto", "sack", "syn"),
}
_PACED = {"fixedPacketRate": _whole(0, 100)}
_PROTOCOL = {"protocol": _one_of("tcp", "icmp", "udp")}
_BANDWIDTH = {"bandwidthMeasurements": _FLAG}
_IP = {"ipv6Policy": _one_of("force-ipv4", "prefer-ipv6", "force-ipv6", "use-agent-policy")}
_PROXY = {"overrideAgentProxy": _FLAG, "overrideProxyId": TEXT, "collectProxyNetworkData": _FLAG}
_TLS = {"sslVersionId": _one_of("0", "3", "4", "5", "6", "7"), "clientCertificate": _SECRET}
_DNS_CLASS = {"dnsQueryClass": _one_of("in", "ch")}
_DNS_TRANSPORT = {"dnsTransportProtocol": _one_of("udp", "tcp")}
_DOMAIN = {"domain": _need(TEXT)}
_URL = {"url": _need(TEXT)}

_OAUTH = {
    **_each(TEXT, "testUrl", "username"),
    **_each(_SECRET, "headers", "password", "postBody"),
    "requestMethod": _one_of("get", "post"),
    "authType": _one_of("none", "basic", "ntlm"),
}
_HTTP = {
    **_URL,
    **_NETWORK,
    **_PACED,
    **_PROTOCOL,
    **_BANDWIDTH,
    **_PROXY,
    **_TLS,
    **_each(
        _FLAG, "allowUnsafeLegacyRenegotiation", "distributedTracing", "followRedirects", "includeHeaders"
    ),
    **_each(_FLAG, "useNtlm", "verifyCertificate"),
    **_each(TEXT, "contentRegex", "desiredStatusCode", "dnsOverride", "userAgent", "username"),
    **_each(_ANY, "agentInterfaces", "customHeaders", "vaultCredentials"),
    "authType": _one_of("none", "basic", "ntlm", "kerberos", "oauth"),
    "downloadLimit": _whole(),
    "httpTargetTime": _whole(100, 5000),
    "httpTimeLimit": _whole(5, 60),
    "httpVersion": _whole(1, 2),
    "oAuth": Field("object", members=_OAUTH),
    "password": _SECRET,
}
_BROWSER = {
    **_HTTP,
    **_each(
        _FLAG,
        "allowGeolocation",
        "allowMicAndCamera",
        "disableScreenshot",
        "identifyAgentTrafficWithUserAgent",
    ),
    **_each(TEXT, "blockDomains", "browserLanguage", "chromeOptions", "chromePolicies", "emulatedDeviceId"),
    "chromiumTrack": _one_of("stable", "latest"),
    "pageLoadingStrategy": _one_of("normal", "eager", "none"),
}
_REQUEST = {
    **_each(_need(TEXT), "name", "url"),
    **_each(TEXT, "body", "scope", "tokenUrl", "username"),
    **_each(_SECRET, "bearerToken", "clientId", "clientSecret", "password"),
    **_each(_FLAG, "collectApiResponse", "verifyCertificate"),
    **_each(_ANY, "assertions", "headers", "variables"),
    "authType": _one_of("none", "basic", "bearer-token", "oauth2"),
    "clientAuthentication": _one_of("basic-auth-header", "in-body"),
    "method": _one_of("get", "post", "put", "delete", "patch"),
    "waitTimeMs": _whole(),
}
SIP_FIELDS = {
    "port": _need(_whole(1, 65535)),
    **_each(TEXT, "authUser", "sipRegistrar", "user"),
    "password": _SECRET,
    "protocol": _one_of("tcp", "tls", "udp"),
}
AGENT_FIELDS = {"agentId": _need(TEXT), "sourceIpAddress": TEXT}

_COMMON = {
    "agents": _need(Field("list", members=AGENT_FIELDS)),
    **_each(TEXT, "testName", "description"),
    **_each(_TEXTS, "labels", "sharedWithAccounts", "tags"),
    "randomizedStartTime": _FLAG,
}

FIELDS: Mapping[str, Mapping[str, Field]] = {
    test_type: {**_COMMON, **own}
    for test_type, own in {
        "agent-to-server": {
            "server": _need(TEXT),
            **_NETWORK,
            **_PACED,
            **_PROTOCOL,
            **_BANDWIDTH,
            **_IP,
            "continuousMode": _FLAG,
            "dscpId": _DSCP,
            "pingPayloadSize": _whole(0, 1400),
        },
        "agent-to-agent": {
            "targetAgentId": _need(TEXT),
            **_TRACES,
            **_PACED,
            "direction": _one_of("to-target", "from-target", "bidirectional"),
            "dscpId": _DSCP,
            "mss": _whole(20, 1400),
            "port": _whole(1, 65535),
            "protocol": _one_of("tcp", "udp"),
            "throughputDuration": _whole(5000, 30000),
            "throughputMeasurements": _FLAG,
            "throughputRate": _whole(8, 1000),
        },
        "http-server": {
            **_HTTP,
            **_IP,
            "headers": Field("list", secret=True),
            "postBody": TEXT,
            "requestMethod": _one_of("get", "post"),
        },
        "page-load": {**_BROWSER, "pageLoadTargetTime": _whole(1, 60), "pageLoadTimeLimit": _whole(5, 60)},
        "web-transactions": {
            **_BROWSER,
            "transactionScript": _need(TEXT),
            "credentials": _TEXTS,
            "flagCollectConsoleLogs": _FLAG,
            "targetTime": _whole(1, 180),
            "timeLimit": _whole(5, 180),
        },
        "api": {
            **_URL,
            **_NETWORK,
            **_PROTOCOL,
            **_PROXY,
            **_TLS,
            "requests": _need(Field("list", members=_REQUEST)),
            "clientCertDomainsAllowList": TEXT,
            "credentials": _TEXTS,
            **_each(_FLAG, "distributedTracing", "followRedirects"),
            **_each(_ANY, "predefinedVariables", "vaultCredentials"),
            "targetTime": _whole(0, 60),
            "timeLimit": _whole(5, 180),
        },
        "ftp-server": {
            **_URL,
            "requestType": _need(_one_of("download", "upload", "list")),
            "username": _need(TEXT),
            "password": _need(_SECRET),
            **_NETWORK,
            **_PACED,
            **_PROTOCOL,
            **_BANDWIDTH,
            **_IP,
            "downloadLimit": _whole(),
            "ftpTargetTime": _whole(1000, 6000),
            "ftpTimeLimit": _whole(10, 60),
            **_each(_FLAG, "useActiveFtp", "useExplicitFtps"),
        },
        "dns-server": {
            **_DOMAIN,
            "dnsServers": _need(_TEXTS),
            **_NETWORK,
            **_PACED,
            **_PROTOCOL,
            **_BANDWIDTH,
            **_IP,
            **_DNS_CLASS,
            **_DNS_TRANSPORT,
            "recursiveQueries": _FLAG,
        },
        "dns-trace": {**_DOMAIN, **_DNS_CLASS, **_DNS_TRANSPORT},
        "dnssec": {**_DOMAIN, **_DNS_CLASS},
        "sip-server": {
            "targetSipCredentials": _need(Field("object", members=SIP_FIELDS)),
            **_NETWORK,
            **_PACED,
            **_IP,
            "optionsRegex": TEXT,
            "registerEnabled": _FLAG,
            "sipTargetTime": _whole(100, 5000),
            "sipTimeLimit": _whole(5, 10),
        },
        "voice": {
            "targetAgentId": _need(TEXT),
            **_PATHS,
            "codecId": TEXT,
            "dscpId": _DSCP,
            "duration": _whole(5, 30),
            "jitterBuffer": _whole(0, 150),
            "port": _whole(1024, 65535),
        },
    }.items()
}
"""The fields of a request that creates an instant test, by test type."""

READ_ONLY = frozenset(
    (
        *("testId", "type", "createdBy", "createdDate", "modifiedBy", "modifiedDate", "savedEvent"),
        *("liveShare", "_links", "dscp", "codec", "sslVersion"),
    )
)
"""Fields that ThousandEyes sets."""

SCHEDULING = frozenset(
    (
        *("interval", "subinterval", "httpInterval", "enabled", "alertsEnabled", "alertRules"),
        *("bgpMeasurements", "usePublicBgp", "monitors"),
    )
)
"""Fields of scheduled tests. Instant tests ignore them, and many clients send them."""

SECRET_FIELDS = frozenset(
    name
    for fields in (*FIELDS.values(), _OAUTH, _REQUEST, SIP_FIELDS)
    for name, field_ in fields.items()
    if field_.secret and field_.kind == "text"
)
"""The fields that hold a password, a token or a key as text."""
