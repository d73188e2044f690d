"""Promised and actual false alarms of proposed checks, on histories that do not follow the proposer's assumptions.

python benchmarks/false_alarms.py [tests] [seed] [few|many]

The checks of each test are proposed from four weeks of history and evaluated on the next four weeks. A test has a round
every 10 or 15 minutes, agents with different levels, and one of five shapes: lognormal, bimodal (cache hit or miss),
diurnal, bursty, drifting. There are two sets of tests: ``few`` has 3 to 10 agents with a noise of 3 to 20 %, ``many``
has 10 to 25 agents with a noise of 3 to 12 %. Single agents occasionally fail or stay silent. Each of these events is
injected separately into the second four weeks:

- regressions: every agent is 30 % slower, from one round on;
- outages of one agent: it reports an error, is silent, or is ten times slower, from one round on.

If a gate repeats failed runs (``confirm_failures``), the next rounds represent the repetitions. They have the same
regression or outage, and the baseline of the first round.

A regression is detectable if an ideal check, which knows the noise-free level of every agent, would catch 95 % of such
regressions in one round at the same false-alarm rate.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, pstdev
from typing import Any

from thousandeyes_provider.validation.backtest import Gate, JudgedRound, confirm, judge_round
from thousandeyes_provider.validation.baseline import Baseline
from thousandeyes_provider.validation.history import History
from thousandeyes_provider.validation.proposal import DEFAULT_RATE, episodes, propose
from thousandeyes_provider.validation.verdict import Verdict

WEEKS = 4
SLOWDOWN = 1.3
REGRESSIONS = 60
OUTAGES = 30
AGENTS = {"few": (3, 10, 0.2), "many": (10, 25, 0.12)}
"""Set of tests to minimum agents, maximum agents, and maximum noise of an agent."""
SHAPES = ("lognormal", "bimodal", "diurnal", "bursty", "drifting")
METRICS = {
    "web-transactions": ("web-transactions", "transactionTime"),
    "api": ("api", "apiTransactionTime"),
    "http-server": ("http-server", "responseTime"),
    "agent-to-server": ("network", "avgLatency"),
}


@dataclass
class World:
    """A simulated test: level, value and state of each agent in each round."""

    name: str
    shape: str
    test_type: str
    noise: float
    times: list[int] = field(default_factory=list)
    levels: list[list[float]] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    states: list[list[str]] = field(default_factory=list)


def simulate(number: int, seed: int, size: str = "few") -> World:
    """Return a test with random parameters and eight weeks of rounds."""
    fewest, most, loudest = AGENTS[size]
    chance = random.Random(seed * 1000 + number)
    shape = SHAPES[number % len(SHAPES)]
    world = World(f"{number:02d} {shape}", shape, chance.choice(sorted(METRICS)), 0.0)
    agents = chance.randint(fewest, most)
    base = [math.exp(chance.uniform(math.log(15), math.log(600))) for _ in range(agents)]
    noise = [chance.uniform(0.03, loudest) for _ in range(agents)]
    world.noise = median(noise)
    common = chance.uniform(0.0, 0.03)
    spike = chance.uniform(0.0, 0.01)
    failing, silence = chance.uniform(0.0, 0.004), chance.uniform(0.0, 0.004)
    swing = chance.uniform(0.2, 0.8) if shape == "diurnal" else chance.uniform(0.0, 0.08)
    misses = [chance.uniform(0.05, 0.3) for _ in range(agents)]
    burst_chance, burst_size = 1 / chance.uniform(600, 3000), chance.uniform(1.3, 3.0)
    drift = chance.uniform(0.005, 0.02) if shape == "drifting" else 0.0
    wander, burst = 0.0, 0
    step = chance.choice((600, 900))
    start = 1_790_000_400
    for at in range(start, start + 2 * WEEKS * 7 * 86400, step):
        day = (at - start) / 86400
        hour = 2 * math.pi * (at % 86400) / 86400
        if shape == "drifting":
            wander += chance.gauss(0, 0.002)
        if shape == "bursty":
            burst = burst - 1 if burst else (chance.randint(2, 12) if chance.random() < burst_chance else 0)
        weekend = 0.5 if day % 7 >= 5 else 1.0
        factor = (1 + swing * weekend * max(math.sin(hour), 0)) * math.exp(drift * day + wander)
        shared = math.exp(chance.gauss(0, common)) * (burst_size if burst else 1)
        levels = [level * factor for level in base]
        values, states = [], []
        for level, sigma, miss in zip(levels, noise, misses, strict=True):
            value = level * shared * math.exp(chance.gauss(0, sigma))
            if shape == "bimodal" and chance.random() < miss:
                value *= 2.2
            if chance.random() < spike:
                value *= 1 + chance.paretovariate(1.5)
            values.append(value)
            luck = chance.random()
            states.append("error" if luck < failing else "silent" if luck < failing + silence else "ok")
        world.times.append(at)
        world.levels.append(levels)
        world.values.append(values)
        world.states.append(states)
    return world


def rows_of(
    world: World, place: int, factor: float = 1.0, outage: tuple[int, str] | None = None
) -> list[Any]:
    """Return the rows of a round in ThousandEyes' format."""
    _, metric = METRICS[world.test_type]
    rows = []
    for agent, value in enumerate(world.values[place]):
        state, scale = world.states[place][agent], factor
        if outage and outage[0] == agent:
            state, scale = ("ok", 10.0) if outage[1] == "slow" else (outage[1], 1.0)
        if state == "silent":
            continue
        row: dict[str, Any] = {
            "agent": {"agentId": str(100 + agent), "agentName": f"Agent {agent}", "countryId": "DE"},
            "roundId": world.times[place],
        }
        if state == "ok":
            row |= {metric: round(value * scale, 2), "errorType": "None", "responseCode": 200, "loss": 0}
            row |= {"completion": 100, "jitter": 0}
        else:
            row |= {"errorType": "Connect", "errorDetails": "connection timed out"}
        rows.append(row)
    return rows


def detectable(world: World, rate: float) -> float:
    """Return the share of regressions that an ideal check catches, which knows the noise-free level of every agent.

    It has the same false-alarm rate, even with one agent lost.
    """
    ratios = [
        sorted(math.log(value / level) for value, level in zip(values, levels, strict=True))
        for values, levels in zip(world.values, world.levels, strict=True)
    ]
    place = min(math.ceil(len(ratios) * (1 - rate)), len(ratios) - 1)
    best = 0.0
    for rank in range(len(ratios[0]) - 1):
        seen = [ordered[rank] for ordered in ratios]
        limit = max(sorted(seen)[place], sorted(ordered[rank + 1] for ordered in ratios)[place])
        best = max(best, sum(value + math.log(SLOWDOWN) > limit for value in seen) / len(seen))
    return best


@dataclass
class Outcome:
    """The result of a method to choose limits on a test."""

    rounds: int = 0
    alarms: int = 0
    events: int = 0
    caught: int = 0
    blocked: int = 0
    blocked_with_another: int = 0


def judged_by(gate: Gate, world: World, seed: int) -> Outcome:
    """Judge the second four weeks, unchanged and with injected events."""
    chance = random.Random(seed)
    result_type, _ = METRICS[world.test_type]
    half = len(world.times) // 2
    agents = History("7", world.test_type)
    agents.add(result_type, [row for place in range(half, half + 50) for row in rows_of(world, place)])
    expected = [presence.agent for presence in agents.agents.values()]
    second = range(half, len(world.times) - gate.confirm_failures)
    regressions = set(chance.sample(second, REGRESSIONS))
    outages = set(chance.sample(second, OUTAGES))
    rolling = gate.rolling_baseline()
    outcome = Outcome()
    failed: list[int] = []

    def verdict(place: int, **change: Any) -> Verdict:
        """The verdict on a round and the rounds that repeat it, all with a change."""
        before = rolling.before(world.times[place]) if rolling else None
        first, *further = (
            {result_type: rows_of(world, place + again, **change)}
            for again in range(1 + gate.confirm_failures)
        )
        return confirm(judged(first, before), (judged(rows, before) for rows in further)).verdict

    def judged(rows: dict[str, Any], before: Baseline | None) -> JudgedRound:
        return judge_round(0, rows, gate, expected, before)

    for place in range(half - 86400 // 600 - 1, second.stop):
        if place >= half:
            plain = verdict(place)
            outcome.rounds += 1
            if plain is Verdict.FAILED:
                failed.append(place)
            if place in regressions:
                outcome.caught += verdict(place, factor=SLOWDOWN) is Verdict.FAILED
            if place in outages and plain is Verdict.PASSED:
                kind, lost = ("error", "silent", "slow")[place % 3], chance.randrange(len(expected))
                if verdict(place, outage=(lost, kind)) is not Verdict.PASSED:
                    outcome.blocked += 1
                    rounds = range(place, place + 1 + gate.confirm_failures)
                    states = [state for again in rounds for state in others(world, again, lost)]
                    outcome.blocked_with_another += any(state != "ok" for state in states)
        if rolling:
            rolling.add(world.times[place], {result_type: rows_of(world, place)})
    outcome.alarms, outcome.events = len(failed), len(episodes(failed))
    return outcome


def others(world: World, place: int, lost: int) -> list[str]:
    """Return the states of the other agents."""
    return [state for agent, state in enumerate(world.states[place]) if agent != lost]


def usual_limits(world: World) -> dict[str, float]:
    """Return common manual limits for the mean over the agents, from the first four weeks."""
    means = [
        fmean(value for value, state in zip(values, states, strict=True) if state == "ok")
        for values, states in list(zip(world.values, world.states, strict=True))[: len(world.times) // 2]
        if "ok" in states
    ]
    return {"maximum + 20 %": max(means) * 1.2, "3 sigma": fmean(means) + 3 * pstdev(means)}


def evaluate(job: tuple[int, int, str]) -> dict[str, Any]:
    """Return all results of a test."""
    number, seed, size = job
    started = time.process_time()
    world = simulate(number, seed, size)
    result_type, metric = METRICS[world.test_type]
    history = History("7", world.test_type, world.name)
    half = len(world.times) // 2
    for place in range(half):
        history.add(result_type, rows_of(world, place))
    proposal = propose(history)
    arguments = proposal.arguments()
    outcomes = {"proposed": judged_by(Gate.from_arguments(arguments), world, number)}
    agents = {name: value for name, value in arguments.items() if name in ("min_agents", "max_agent_errors")}
    for name, limit in usual_limits(world).items():
        checks = {result_type: {metric: {"mean": {"leq_to": limit}}}}
        outcomes[name] = judged_by(Gate.from_arguments({"checks": checks, **agents}), world, number)
    return {
        "name": world.name,
        "shape": world.shape,
        "agents": len(world.values[0]),
        "noise": world.noise,
        "promised": proposal.promised,
        "expected": proposal.expected_rate,
        "stated": proposal.slowdowns.caught if proposal.slowdowns else None,
        "repeats": proposal.confirm_failures,
        "possible": detectable(world, DEFAULT_RATE),
        "notes": list(proposal.notes),
        "outcomes": outcomes,
        "seconds": time.process_time() - started,
    }


def table(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each test."""
    yield (
        "test            agents noise promise repeats 1 in: history  actual  caught: stated possible actual  blocked"
    )
    for result in results:
        outcome = result["outcomes"]["proposed"]
        history = f"{1 / result['expected']:.0f}" if result["expected"] else "never"
        actual = f"{outcome.rounds / outcome.alarms:.0f}" if outcome.alarms else "never"
        stated = "-" if result["stated"] is None else f"{result['stated']:.0%}"
        yield (
            f"{result['name']:<16}{result['agents']:>6}{result['noise']:>6.0%} "
            f"{'yes' if result['promised'] else 'no':<8}{result['repeats']:>7}{history:>14}{actual:>8}"
            f"{stated:>16}{result['possible']:>9.0%}{outcome.caught / REGRESSIONS:>7.0%}{outcome.blocked:>9}"
        )


def totals(results: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the figures of a method to choose limits."""
    outcomes = [result["outcomes"][name] for result in results]
    rates = [outcome.alarms / outcome.rounds for outcome in outcomes]
    detectable = [result["outcomes"][name].caught for result in results if result["possible"] >= 0.95]
    caught = sum(outcome.caught for outcome in outcomes)
    low, high = DEFAULT_RATE / 2, 2 * DEFAULT_RATE
    return (
        f"{name}: false alarms at most twice the promise in {sum(rate <= high for rate in rates)}, within a factor of "
        f"2 in {sum(low <= rate <= high for rate in rates)} of {len(results)} tests; "
        f"caught {caught / len(results) / REGRESSIONS:.0%} of the regressions, "
        f"{sum(detectable) / max(len(detectable), 1) / REGRESSIONS:.0%} in the {len(detectable)} detectable tests; "
        f"90 % or more in {sum(outcome.caught >= 0.9 * REGRESSIONS for outcome in outcomes)} tests; blocked outages: "
        f"{sum(outcome.blocked for outcome in outcomes)} of {len(results) * OUTAGES}, with another agent failing in "
        f"{sum(outcome.blocked_with_another for outcome in outcomes)}"
    )


def main(tests: int = 50, seed: int = 1, size: str = "few") -> None:
    """Run all tests in two processes and print the figures."""
    with multiprocessing.Pool(2) as pool:
        report(pool.map(evaluate, [(number, seed, size) for number in range(tests)], chunksize=1))


def report(results: Sequence[Mapping[str, Any]]) -> None:
    """Print the figures."""
    print("\n".join(table(results)), end="\n\n")
    for name in results[0]["outcomes"]:
        print(totals(results, name))
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        fewest = result["agents"] // 5 * 5
        groups.setdefault(f"{max(fewest, 3):>2} to {fewest + 4} agents", []).append(result)
        groups.setdefault(f"noise {'below' if result['noise'] < 0.1 else 'from'} 10 %", []).append(result)
        groups.setdefault(result["shape"], []).append(result)
    for title in sorted(groups):
        caught = sum(result["outcomes"]["proposed"].caught for result in groups[title])
        repeats = sum(result["repeats"] for result in groups[title]) / len(groups[title])
        share = caught / len(groups[title]) / REGRESSIONS
        print(
            f"{title}: {len(groups[title])} tests, caught {share:.0%}, {repeats:.1f} repetitions of a failed run"
        )
    promised = [result for result in results if result["promised"]]
    worse = [
        f"{result['name']}, {outcome.alarms} failed rounds in {outcome.events} events"
        for result in promised
        if (outcome := result["outcomes"]["proposed"]).alarms > 2 * DEFAULT_RATE * outcome.rounds
    ]
    print(f"promised in {len(promised)} tests; worse than twice the promise: {'; '.join(worse) or 'none'}")
    print(f"processor time {sum(result['seconds'] for result in results):.0f} s")
    for result in results:
        for note in result["notes"]:
            print(f"  {result['name']}: {note}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:4])
