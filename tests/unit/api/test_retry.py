"""The retry rules for every outcome and kind of request."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandeyes_provider.api.rate_limits import RateLimitReset
from thousandeyes_provider.api.response import NoResponse, Response
from thousandeyes_provider.api.retry import Accept, Attempts, GiveUp, RequestKind, VerifyOutcome, Wait

NOW = 1_790_000_000.0
READ, RUN, CREATE, SNAPSHOT = RequestKind.READ, RequestKind.RUN, RequestKind.CREATE, RequestKind.SNAPSHOT
WRITES = (RUN, CREATE, SNAPSHOT)
EVERY = (READ, *WRITES)
ORG = "x-organization-rate-limit-"
RUNS = "x-instant-test-rate-limit-"


def response(status, *, date=NOW, **headers):
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    if date is not None:
        named.setdefault("date", formatdate(date, usegmt=True))
    return Response(status, named, b"", "http://te/v7/x")


def limits(*, org=None, runs=None, date=NOW, status=429, **more):
    """Return a response with headers of the given families, each (limit, remaining, reset)."""
    headers = dict(more)
    for prefix, family in ((ORG, org), (RUNS, runs)):
        for field, value in zip(("limit", "remaining", "reset"), family or (), strict=False):
            if value is not None:
                headers[prefix + field] = str(value)
    if date is not None:
        headers["date"] = formatdate(date, usegmt=True)
    return Response(status, headers, b"", "http://te/v7/x")


def decide(kind, outcome, *, jitter=0.5, now=NOW, **more):
    return Attempts(kind).after(outcome, now=now, jitter=jitter, **more)[0]


class TestSuccess:
    @pytest.mark.parametrize("kind", EVERY)
    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_a_usable_response_is_accepted(self, kind, status):
        assert decide(kind, response(status)) == Accept()

    def test_a_body_on_the_run_call_is_accepted_with_a_warning(self):
        decision = decide(RUN, response(200), unusable="not the empty one that was expected")
        assert isinstance(decision, Accept)
        assert "not the empty one" in (decision.warning or "")

    def test_a_truncated_read_is_retried(self):
        assert isinstance(decide(READ, response(200), unusable="a body that is not JSON"), Wait)

    def test_a_creation_with_an_unusable_response_is_verified_first(self):
        assert isinstance(decide(CREATE, response(201), unusable="an empty body"), VerifyOutcome)

    def test_a_snapshot_with_an_unusable_response_is_not_retried(self):
        assert isinstance(decide(SNAPSHOT, response(201), unusable="an empty body"), GiveUp)


class TestFinalErrors:
    @pytest.mark.parametrize("kind", EVERY)
    @pytest.mark.parametrize(
        "status", [400, 401, 403, 404, 405, 410, 413, 415, 422, 451, 300, 302, 304, 501, 505]
    )
    def test_error_at_once(self, kind, status):
        assert decide(kind, response(status)) == GiveUp(str(status))

    @pytest.mark.parametrize("kind", [READ, CREATE, SNAPSHOT])
    def test_409_is_an_error_except_for_runs(self, kind):
        assert isinstance(decide(kind, response(409)), GiveUp)

    @pytest.mark.parametrize("kind", EVERY)
    def test_an_untrusted_certificate_is_final(self, kind):
        outcome = NoResponse("the server's certificate is not trusted", sent=False, final=True)
        assert isinstance(decide(kind, outcome), GiveUp)


class TestLostResponses:
    LOST = [
        *(response(status) for status in (500, 502, 503, 504)),
        NoResponse("timeout", sent=True),
        NoResponse("connection cut", sent=True),
    ]

    @pytest.mark.parametrize("outcome", LOST)
    def test_reads_are_retried_after_a_backoff(self, outcome):
        assert isinstance(decide(READ, outcome), Wait)

    @pytest.mark.parametrize("outcome", LOST)
    @pytest.mark.parametrize("kind", [RUN, CREATE])
    def test_run_and_create_are_verified_before_a_retry(self, kind, outcome):
        decision = decide(kind, outcome)
        assert isinstance(decision, VerifyOutcome)
        assert isinstance(decision.otherwise, Wait)

    @pytest.mark.parametrize("outcome", LOST)
    def test_a_snapshot_is_not_retried(self, outcome):
        assert isinstance(decide(SNAPSHOT, outcome), GiveUp)

    @pytest.mark.parametrize("kind", EVERY)
    def test_a_failed_connection_is_retried(self, kind):
        assert isinstance(decide(kind, NoResponse("could not connect", sent=False)), Wait)

    @pytest.mark.parametrize("limit", [1, 2, 5])
    @pytest.mark.parametrize("outcome", [*LOST, NoResponse("could not connect", sent=False)])
    def test_at_most_retry_limit_attempts(self, limit, outcome):
        attempts, decision = Attempts(READ, retry_limit=limit), None
        for _ in range(limit):
            assert not isinstance(decision, GiveUp)
            decision, attempts = attempts.after(outcome, now=NOW, jitter=0.5)
        assert isinstance(decision, GiveUp)

    def test_the_last_lost_run_is_verified_before_it_fails(self):
        decision, _ = Attempts(RUN, retry_limit=1).after(response(502), now=NOW, jitter=0.5)
        assert isinstance(decision, VerifyOutcome)
        assert isinstance(decision.otherwise, GiveUp)

    def test_retry_after_is_the_shortest_wait(self):
        decision = decide(READ, response(503, **{"retry-after": 7}))
        assert isinstance(decision, Wait)
        assert 7 < decision.seconds < 8

    def test_a_retry_after_beyond_queue_timeout_is_final(self):
        assert isinstance(decide(READ, response(503, **{"retry-after": 86400})), GiveUp)

    def test_a_backoff_beyond_the_deadline_is_final(self):
        assert isinstance(decide(READ, response(503), jitter=1.0, time_left=0.5), GiveUp)


class TestBackoff:
    def test_doubles_from_1_s_to_30_s_with_full_jitter(self):
        attempts, longest = Attempts(READ, retry_limit=9), []
        for _ in range(8):
            decision, after = attempts.after(response(500), now=NOW, jitter=1.0)
            shortest, _ = attempts.after(response(500), now=NOW, jitter=0.0)
            assert isinstance(decision, Wait)
            assert isinstance(shortest, Wait)
            assert shortest.seconds == 0
            longest.append(decision.seconds)
            attempts = after
        assert longest == [1, 2, 4, 8, 16, 30, 30, 30]


class TestRateLimits:
    """A 429 waits for the reset of the exhausted limit by the server's clock, else for Retry-After, else backs off."""

    @pytest.mark.parametrize("kind", EVERY)
    @pytest.mark.parametrize(
        ("case", "refused", "expected"),
        [
            ("organization only", limits(org=(240, 0, NOW + 20)), 20),
            ("instant tests only", limits(runs=(24, 0, NOW + 30)), 30),
            ("both, one exhausted", limits(org=(240, 200, NOW + 50), runs=(24, 0, NOW + 30)), 30),
            ("both, the other exhausted", limits(org=(240, 0, NOW + 50), runs=(24, 9, NOW + 30)), 50),
            ("both exhausted", limits(org=(240, 0, NOW + 20), runs=(24, 0, NOW + 45)), 45),
            ("neither exhausted: unclear", limits(org=(240, 5, NOW + 20), runs=(24, 5, NOW + 45)), 45),
            ("remaining missing", limits(org=(240, None, NOW + 20), runs=(24, None, NOW + 45)), 45),
            ("remaining missing in one", limits(org=(240, None, NOW + 20), runs=(24, 5, NOW + 45)), 20),
            ("remaining is garbage", limits(org=(240, "soon", NOW + 20)), 20),
            ("remaining negative", limits(org=(240, -3, NOW + 20)), 20),
            ("reset with a fraction", limits(org=(240, 0, NOW + 20.5)), 20.5),
            ("reset wins over Retry-After", limits(org=(240, 0, NOW + 20), **{"retry-after": "3"}), 20),
            ("one past, one ahead, both exhausted", limits(org=(1, 0, NOW - 9), runs=(1, 0, NOW + 9)), 9),
            ("no headers, Retry-After in seconds", limits(**{"retry-after": "12"}), 12),
            (
                "no headers, Retry-After as a date",
                limits(**{"retry-after": formatdate(NOW + 15, usegmt=True)}),
                15,
            ),
            ("reset past, Retry-After", limits(org=(240, 0, NOW - 5), **{"retry-after": "8"}), 8),
            ("reset is garbage, Retry-After", limits(org=(240, 0, "later"), **{"retry-after": "8"}), 8),
        ],
    )
    def test_waits_until(self, kind, case, refused, expected):
        decision = decide(kind, refused)
        assert isinstance(decision, Wait), case
        assert decision.throttled
        assert expected < decision.seconds <= expected + 1, "plus a positive jitter"

    @pytest.mark.parametrize(
        ("case", "refused"),
        [
            ("no headers", limits()),
            ("no headers, no date", limits(date=None)),
            ("reset past", limits(org=(240, 0, NOW - 3600))),
            ("reset now", limits(org=(240, 0, NOW))),
            ("reset in seconds, not epoch", limits(org=(240, 0, 30))),
            ("reset is garbage", limits(org=(240, 0, "tomorrow"))),
            ("reset is empty", limits(org=(240, 0, ""))),
            ("reset is negative", limits(org=(240, 0, -1))),
            ("reset overflows", limits(org=(240, 0, "9" * 400))),
            ("reset is nan", limits(org=(240, 0, "nan"))),
            (
                "everything is garbage",
                limits(org=("a", "b", "c"), runs=("", "-", "%"), **{"retry-after": "?"}),
            ),
            ("Retry-After is garbage", limits(**{"retry-after": "soon"})),
            ("Retry-After is 0", limits(**{"retry-after": "0"})),
            ("Retry-After is negative", limits(**{"retry-after": "-5"})),
            ("Retry-After is past", limits(**{"retry-after": formatdate(NOW - 60, usegmt=True)})),
        ],
    )
    def test_backs_off_where_nothing_usable_is_announced(self, case, refused):
        decision = decide(READ, refused, jitter=1.0)
        assert isinstance(decision, Wait), case
        assert decision.throttled
        assert 1 < decision.seconds < 2, "first backoff plus jitter"

    @pytest.mark.parametrize("wrong_by", [-7200, 7200, -86400 * 365, 86400 * 365])
    def test_a_wrong_local_clock_has_no_effect(self, wrong_by):
        decision = decide(READ, limits(org=(240, 0, NOW + 20)), now=NOW + wrong_by)
        assert isinstance(decision, Wait)
        assert 20 < decision.seconds < 21

    @pytest.mark.parametrize("wrong_by", [-7200, 7200])
    def test_a_wrong_server_clock_has_no_effect(self, wrong_by):
        decision = decide(READ, limits(org=(240, 0, NOW + wrong_by + 20), date=NOW + wrong_by))
        assert isinstance(decision, Wait)
        assert 20 < decision.seconds < 21

    @pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Foo 2026 99:99:99 GMT"])
    def test_without_a_usable_date_the_local_clock_is_used(self, date):
        refused = Response(429, {ORG + "remaining": "0", ORG + "reset": str(NOW + 20), "date": date}, b"", "")
        decision = decide(READ, refused)
        assert isinstance(decision, Wait)
        assert 20 < decision.seconds < 21

    def test_a_reset_hours_ahead_is_final_and_reported(self):
        decision = decide(READ, limits(runs=(24, 0, NOW + 7200)))
        assert isinstance(decision, GiveUp)
        assert decision.reset is not None
        assert (decision.reset.at, decision.reset.bucket) == (NOW + 7200, "instant-test")

    def test_waits_for_rate_limits_do_not_count_as_attempts(self):
        attempts = Attempts(READ, retry_limit=1, queue_timeout=300)
        for _ in range(8):
            decision, attempts = attempts.after(limits(org=(240, 0, NOW + 3)), now=NOW, jitter=0.5)
            assert isinstance(decision, Wait)
        assert isinstance(attempts.after(response(200), now=NOW, jitter=0.5)[0], Accept)

    def test_all_waits_together_stay_within_queue_timeout(self):
        attempts, waited = Attempts(READ, queue_timeout=60), 0.0
        while True:
            decision, attempts = attempts.after(limits(org=(240, 0, NOW + 25)), now=NOW, jitter=0.5)
            if isinstance(decision, GiveUp):
                break
            assert isinstance(decision, Wait)
            waited += decision.seconds
        assert 50 < waited <= 60
        assert attempts.queued == waited

    def test_queue_timeout_0_does_not_wait(self):
        decision, _ = Attempts(READ, queue_timeout=0).after(limits(), now=NOW, jitter=0.5)
        assert isinstance(decision, GiveUp)

    def test_a_wait_beyond_the_deadline_is_final(self):
        decision = decide(READ, limits(org=(240, 0, NOW + 20)), time_left=10)
        assert isinstance(decision, GiveUp)
        assert decision.reset is not None

    def test_the_reason_has_the_limit_and_the_wait(self):
        decision = decide(RUN, limits(runs=(24, 0, NOW + 23)))
        assert isinstance(decision, Wait)
        assert decision.reason == "429, the instant-test limit resets in 23 s"


class TestBusy:
    def test_409_on_run_waits_within_queue_timeout_and_is_no_attempt(self):
        attempts, sends = Attempts(RUN, retry_limit=1, queue_timeout=100), 0
        while True:
            decision, attempts = attempts.after(response(409), now=NOW, jitter=1.0)
            sends += 1
            if isinstance(decision, GiveUp):
                break
            assert isinstance(decision, Wait)
        assert sends > 4
        assert attempts.queued <= 100
        assert attempts.failures == 0


HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *(prefix + field for prefix in (ORG, RUNS) for field in ("limit", "remaining", "reset")),
            "retry-after",
            "date",
        ]
    ),
    st.one_of(
        st.text(st.characters(max_codepoint=255), max_size=12),
        st.integers().map(str),
        st.floats().map(str),
        st.integers(0, 2**33).map(lambda at: formatdate(at, usegmt=True)),
    ),
)
OUTCOMES = st.one_of(
    st.builds(Response, st.integers(100, 999), HEADERS, st.just(b""), st.just("")),
    st.builds(NoResponse, st.just("cut"), st.booleans(), st.booleans()),
)


@given(
    outcomes=st.lists(OUTCOMES, max_size=12),
    kind=st.sampled_from(EVERY),
    limit=st.integers(1, 6),
    queue=st.floats(0, 600),
    jitter=st.floats(0, 1),
    unusable=st.sampled_from([None, "HTML"]),
)
def test_waits_are_finite_and_bounded(outcomes, kind, limit, queue, jitter, unusable):
    attempts = Attempts(kind, limit, queue)
    throttled = 0.0
    failures = 0
    for outcome in outcomes:
        decision, attempts = attempts.after(outcome, now=NOW, jitter=jitter, unusable=unusable)
        if isinstance(decision, VerifyOutcome):
            decision = decision.otherwise
        if not isinstance(decision, Wait):
            break
        assert math.isfinite(decision.seconds)
        assert decision.seconds >= 0
        refused = decision.throttled or decision.busy
        throttled += decision.seconds if refused else 0
        failures += not refused
    assert throttled <= queue
    assert failures < limit


def test_an_impossible_reset_is_shown_as_a_number():
    assert decide(RUN, limits(org=(240, 0, 1e300))).reason.endswith("(resets at 1e+300)")
    assert decide(RUN, limits(org=(240, 0, NOW + 3600))).reason.endswith("(resets at 2026-09-21T15:13:20Z)")


CUT = NoResponse("connection cut", sent=True)


class TestReasons:
    """The reasons appear in logs and errors, so each one states the cause and the times."""

    @pytest.mark.parametrize(
        ("kind", "outcome", "decision"),
        [
            (READ, NoResponse("not trusted", sent=False, final=True), GiveUp("not trusted")),
            (READ, CUT, Wait(0.5, "connection cut")),
            (READ, response(502), Wait(0.5, "502")),
            (READ, response(503, retry_after=7), Wait(7.35, "503")),
            (RUN, response(502), VerifyOutcome("502", Wait(0.5, "502"))),
            (CREATE, CUT, VerifyOutcome("connection cut", Wait(0.5, "connection cut"))),
            (SNAPSHOT, CUT, GiveUp("connection cut; not sent again, since the snapshot may exist")),
            (RUN, response(409), Wait(0.5, "409, the test is busy", busy=True)),
            (RUN, response(409, retry_after=7), Wait(7.35, "409, the test is busy", busy=True)),
            (READ, response(429), Wait(0.85, "429, no usable reset", throttled=True)),
            (READ, response(429, retry_after=7), Wait(7.35, "429, Retry-After 7 s", throttled=True)),
            (READ, limits(org=(240, 0, NOW - 1)), Wait(0.85, "429, its reset is past", throttled=True)),
            (READ, limits(org=(240, 0, NOW)), Wait(0.85, "429, its reset is past", throttled=True)),
            (
                READ,
                limits(org=(240, 0, NOW + 1)),
                Wait(1.35, "429, the organization limit resets in 1 s", throttled=True),
            ),
            (
                READ,
                limits(org=(240, 0, NOW - 1), **{"retry-after": "7"}),
                Wait(7.35, "429, Retry-After 7 s", throttled=True),
            ),
        ],
    )
    def test_reason_for_each_outcome(self, kind, outcome, decision):
        assert decide(kind, outcome) == decision

    def test_reason_for_an_unusable_response(self):
        assert decide(READ, response(200), unusable="an empty body") == Wait(0.5, "200, but an empty body")
        assert decide(RUN, response(200), unusable="HTML") == Accept("accepted, though the response is HTML")

    def test_reason_after_the_last_attempt(self):
        last = Attempts(READ, retry_limit=3, failures=2)
        assert last.after(CUT, now=NOW, jitter=0.5)[0] == GiveUp("connection cut, on attempt 3 of 3")

    def test_reason_without_time_left(self):
        assert decide(READ, CUT, time_left=0.4) == GiveUp("connection cut, and no time is left to try again")
        assert decide(READ, CUT, time_left=0.5) == Wait(0.5, "connection cut")
        long = decide(READ, response(503, retry_after=400))
        assert long == GiveUp("503, Retry-After 400 s is longer than queue_timeout allows")

    def test_reason_for_a_limit_beyond_queue_timeout(self):
        reset = "429, the organization limit resets in 400 s: longer than queue_timeout 300 s allows"
        at = "(resets at 2026-09-21T14:20:00Z)"
        refused = limits(org=(240, 0, NOW + 400))
        assert decide(READ, refused).reason == f"{reset} {at}"
        later = Attempts(READ, queued=20.4).after(refused, now=NOW, jitter=0.5)[0]
        assert later.reason == f"{reset}, after 20 s of waiting {at}"

    def test_reason_for_a_limit_beyond_the_deadline(self):
        refused = limits(org=(240, 0, NOW + 20))
        for left, shown in ((12.2, 12), (0, 0), (-3, 0)):
            assert decide(READ, refused, time_left=left).reason == (
                f"429, the organization limit resets in 20 s: longer than the {shown} s left until the deadline"
                " (resets at 2026-09-21T14:13:40Z)"
            )

    def test_reason_for_a_refusal_without_a_reset(self):
        given_up = decide(READ, response(429), time_left=0)
        assert given_up.reason == "429, no usable reset: longer than the 0 s left until the deadline"
        assert given_up.reset is None
        for reset, is_announced in ((NOW, False), (NOW + 1, True)):
            reason = decide(READ, limits(org=(240, 0, reset)), time_left=0).reason
            assert ("(resets at" in reason) is is_announced
        past = decide(READ, limits(org=(240, 0, NOW - 9)), time_left=0)
        assert past.reason == "429, its reset is past: longer than the 0 s left until the deadline"
        assert past.reset == RateLimitReset("organization", NOW - 9, -9)


class TestLaterAttempts:
    @pytest.mark.parametrize("outcome", [response(409), response(429)])
    def test_refusals_double_the_backoff(self, outcome):
        attempts, waits = Attempts(RUN), []
        for _ in range(7):
            decision, attempts = attempts.after(outcome, now=NOW, jitter=1.0)
            waits.append(decision.seconds - (0.6 if outcome.status == 429 else 0))
        assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30])
        assert (attempts.refusals, attempts.failures) == (7, 0)

    def test_a_wait_that_just_fits_is_allowed(self):
        exact = Attempts(READ, queue_timeout=7.35)
        assert isinstance(exact.after(response(429, retry_after=7), now=NOW, jitter=0.5)[0], Wait)
        assert isinstance(exact.after(response(503, retry_after=7), now=NOW, jitter=0.5)[0], Wait)
        assert isinstance(decide(READ, response(429, retry_after=7), time_left=7.35), Wait)


class TestRetryAfter:
    """A ``Retry-After`` header yields a reset time on ThousandEyes' clock."""

    @pytest.mark.parametrize("wrong_by", [-7200, 7200])
    @pytest.mark.parametrize(
        ("headers", "bucket"),
        [({}, "unnamed"), ({RUNS + "remaining": 0, RUNS + "reset": NOW - 5}, "instant-test")],
    )
    def test_the_reset_is_reported_without_a_wait(self, headers, bucket, wrong_by):
        for asked in ("400", formatdate(NOW + 400, usegmt=True)):
            refused = response(429, **headers, **{"retry-after": asked})
            given_up = decide(READ, refused, now=NOW + wrong_by)
            assert given_up.reset == RateLimitReset(bucket, NOW + 400, 400)
            assert given_up.reason.endswith("(resets at 2026-09-21T14:20:00Z)")

    @pytest.mark.parametrize("status", [409, 429, 503])
    def test_without_a_date_the_local_clock_is_used(self, status):
        refused = response(status, date=None, retry_after=formatdate(NOW + 7, usegmt=True))
        decision = decide(RUN, refused)
        if isinstance(decision, VerifyOutcome):
            decision = decision.otherwise
        assert decision.seconds == pytest.approx(7.35)
