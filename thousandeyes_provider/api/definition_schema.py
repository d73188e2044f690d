"""The fields of the definition of an instant test, for each of the twelve types.

The body of ``POST /tests/{type}/instant`` is the API's own. The table permits to check a definition before anything is
sent, and to take over the settings of a scheduled test. See `docs/thousandeyes-api.md`, "Creating a test".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from thousandeyes_provider.api.result_types import TEST_TYPES


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


_TABLE = """
agent       agentId! sourceIpAddress
common      agents!:[agent] testName description labels:list sharedWithAccounts:list tags:list
            randomizedStartTime:flag
paths       numPathTraces:1..10
traces      +paths pathTraceMode:classic|in-session
network     +traces mtuMeasurements:flag networkMeasurements:flag probeMode:auto|sack|syn
paced       fixedPacketRate:0..100
protocol    protocol:tcp|icmp|udp
bandwidth   bandwidthMeasurements:flag
ip          ipv6Policy:force-ipv4|prefer-ipv6|force-ipv6|use-agent-policy
dscp        dscpId:0|8|16|24|32|40|48|56|10|12|14|18|20|22|26|28|30|34|36|38|46|44
proxy       overrideAgentProxy:flag overrideProxyId collectProxyNetworkData:flag
tls         sslVersionId:0|3|4|5|6|7 clientCertificate:secret
dns-class   dnsQueryClass:in|ch
dns-type    dnsTransportProtocol:udp|tcp
oauth       testUrl username headers:secret password:secret postBody:secret requestMethod:get|post
            authType:none|basic|ntlm
http        url! +network +paced +protocol +bandwidth +proxy +tls allowUnsafeLegacyRenegotiation:flag
            distributedTracing:flag followRedirects:flag includeHeaders:flag useNtlm:flag verifyCertificate:flag
            contentRegex desiredStatusCode dnsOverride userAgent username agentInterfaces:any customHeaders:any
            vaultCredentials:any authType:none|basic|ntlm|kerberos|oauth downloadLimit:whole
            httpTargetTime:100..5000 httpTimeLimit:5..60 httpVersion:1..2 oAuth:{oauth} password:secret
browser     +http allowGeolocation:flag allowMicAndCamera:flag disableScreenshot:flag
            identifyAgentTrafficWithUserAgent:flag blockDomains browserLanguage chromeOptions chromePolicies
            emulatedDeviceId chromiumTrack:stable|latest pageLoadingStrategy:normal|eager|none
request     name! url! body scope tokenUrl username bearerToken:secret clientId:secret clientSecret:secret
            password:secret collectApiResponse:flag verifyCertificate:flag assertions:any headers:any variables:any
            authType:none|basic|bearer-token|oauth2 clientAuthentication:basic-auth-header|in-body
            method:get|post|put|delete|patch waitTimeMs:whole
sip         port!:1..65535 authUser sipRegistrar user password:secret protocol:tcp|tls|udp

agent-to-server   +common server! +network +paced +protocol +bandwidth +ip continuousMode:flag +dscp
                  pingPayloadSize:0..1400
agent-to-agent    +common targetAgentId! +traces +paced direction:to-target|from-target|bidirectional +dscp
                  mss:20..1400 port:1..65535 protocol:tcp|udp throughputDuration:5000..30000
                  throughputMeasurements:flag throughputRate:8..1000
http-server       +common +http +ip headers:secrets postBody requestMethod:get|post
page-load         +common +browser pageLoadTargetTime:1..60 pageLoadTimeLimit:5..60
web-transactions  +common +browser transactionScript! credentials:list flagCollectConsoleLogs:flag
                  targetTime:1..180 timeLimit:5..180
api               +common url! +network +protocol +proxy +tls requests!:[request] clientCertDomainsAllowList
                  credentials:list distributedTracing:flag followRedirects:flag predefinedVariables:any
                  vaultCredentials:any targetTime:0..60 timeLimit:5..180
ftp-server        +common url! requestType!:download|upload|list username! password!:secret +network +paced
                  +protocol +bandwidth +ip downloadLimit:whole ftpTargetTime:1000..6000 ftpTimeLimit:10..60
                  useActiveFtp:flag useExplicitFtps:flag
dns-server        +common domain! dnsServers!:list +network +paced +protocol +bandwidth +ip +dns-class +dns-type
                  recursiveQueries:flag
dns-trace         +common domain! +dns-class +dns-type
dnssec            +common domain! +dns-class
sip-server        +common targetSipCredentials!:{sip} +network +paced +ip optionsRegex registerEnabled:flag
                  sipTargetTime:100..5000 sipTimeLimit:5..10
voice             +common targetAgentId! +paths codecId +dscp duration:5..30 jitterBuffer:0..150 port:1024..65535
"""
"""A group of fields in each paragraph; the groups at the end are test types.

``+group`` stands for the fields of a group, ``!`` marks a required field. After the colon: ``a|b`` for a choice,
``1..10`` for a whole number in a range, ``{group}`` for an object, ``[group]`` for a list of objects, else a key of
:data:`_KINDS`. A field without a colon is a text.
"""

TEXT = Field("text")

_KINDS = {
    "": TEXT,
    "flag": Field("flag"),
    "whole": Field("whole"),
    "list": Field("list"),
    "any": Field("any"),
    "secret": Field("text", secret=True),
    "secrets": Field("list", secret=True),
}


def _field(kind: str, groups: Mapping[str, Mapping[str, Field]]) -> Field:
    if "|" in kind:
        return Field("text", choices=tuple(kind.split("|")))
    if ".." in kind:
        low, high = map(int, kind.split(".."))
        return Field("whole", low=low, high=high)
    if kind.startswith(("{", "[")):
        return Field("object" if kind.startswith("{") else "list", members=groups[kind[1:-1]])
    return _KINDS[kind]


def _read_table() -> dict[str, dict[str, Field]]:
    groups: dict[str, dict[str, Field]] = {}
    for entry in re.findall(r"^\S.*(?:\n +.*)*", _TABLE, re.MULTILINE):
        group, *notations = entry.split()
        fields = groups[group] = {}
        for notation in notations:
            name, _, kind = notation.partition(":")
            if name.startswith("+"):
                fields |= groups[name[1:]]
            else:
                fields[name.removesuffix("!")] = replace(_field(kind, groups), required=name.endswith("!"))
    return groups


_GROUPS = _read_table()

FIELDS: Mapping[str, Mapping[str, Field]] = {test_type: _GROUPS[test_type] for test_type in TEST_TYPES}
"""The fields of a request that creates an instant test, by test type."""

SIP_FIELDS, AGENT_FIELDS = _GROUPS["sip"], _GROUPS["agent"]

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
    for fields in _GROUPS.values()
    for name, field_ in fields.items()
    if field_.secret and field_.kind == "text"
)
"""The fields that hold a password, a token or a key as text."""
