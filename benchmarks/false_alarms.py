"""Promised and actual false alarms of proposed checks, on histories that do not follow the proposer's assumptions.

python benchmarks/false_alarms.py [tests] [seed]

Each test has four weeks to learn from and four weeks to be judged by, rounds every 10 or 15 minutes, 3 to 10 agents
with levels of their own, and one of five shapes: lognormal, bimodal (cache hit or miss), diurnal, bursty, drifting.
Agents fail and stay silent on their own now and then. Into the second half go, each round by itself:

- regressions: every agent is 30 % slower;
- outages of one agent: it reports an error, is silent, or is ten times slower.

A regression counts as physically detectable when a judge who knows the noise-free level of every agent would catch 95 %
of them at the same false-alarm rate.
"""

from __future__ import annotations

import math
import multiprocessing
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any

from thousandeyes_provider.validation.backtest import Gate, judge_round
from thousandeyes_provider.validation.history import History
from thousandeyes_provider.validation.proposal import DEFAULT_RATE, propose
from thousandeyes_provider.validation.verdict import Verdict

WEEKS = 4
SLOWDOWN = 1.3
REGRESSIONS = 60
OUTAGES = 30
SHAPES = ("lognormal", "bimodal", "diurnal", "bursty", "drifting")
METRICS = {
    "web-transactions": ("web-transactions", "transactionTime"),
    "api": ("api", "apiTransactionTime"),
    "http-server": ("http-server", "responseTime"),
    "agent-to-server": ("network", "avgLatency"),
}


@dataclass
class World:
    """A simulated test: for each round the level, the value and the state of each agent."""

    name: str
    shape: str
    test_type: str
    times: list[int] = field(default_factory=list)
    levels: list[list[float]] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    states: list[list[str]] = field(default_factory=list)


def simulate(number: int, seed: int) -> World:
    """A test with random parameters: eight weeks of rounds."""
    chance = random.Random(seed * 1000 + number)
    shape = SHAPES[number % len(SHAPES)]
    world = World(f"{number:02d} {shape}", shape, chance.choice(sorted(METRICS)))
    agents = chance.randint(3, 10)
    base = [math.exp(chance.uniform(math.log(15), math.log(600))) for _ in range(agents)]
    noise = [chance.uniform(0.03, 0.2) for _ in range(agents)]
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
    """The rows of a round as ThousandEyes reports them."""
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
    """The share of regressions that a judge catches who knows the noise-free level of every agent.

    The judge keeps the same rules: false alarms at the rate, also while one agent is lost.
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
    """What one way to choose limits did on one test."""

    rounds: int = 0
    alarms: int = 0
    caught: int = 0
    blocked: int = 0
    blocked_with_another: int = 0


def judged_by(gate: Gate, world: World, seed: int) -> Outcome:
    """Judge the second four weeks, plain and with injections."""
    chance = random.Random(seed)
    result_type, _ = METRICS[world.test_type]
    half = len(world.times) // 2
    agents = History("7", world.test_type)
    agents.add(result_type, [row for place in range(half, half + 50) for row in rows_of(world, place)])
    expected = [presence.agent for presence in agents.agents.values()]
    rolling = gate.rolling_baseline()
    second = range(half, len(world.times))
    regressions = set(chance.sample(second, REGRESSIONS))
    outages = set(chance.sample(second, OUTAGES))
    outcome = Outcome()
    for place in range(half - 86400 // 600 - 1, len(world.times)):
        at, rows = world.times[place], {result_type: rows_of(world, place)}
        if place >= half:
            before = rolling.before(at) if rolling else None

            def verdict(changed: dict[str, Any], at: int = at, before: Any = before) -> Verdict:
                return judge_round(at, changed, gate, expected, before).verdict

            plain = verdict(rows)
            outcome.rounds += 1
            outcome.alarms += plain is Verdict.FAILED
            if place in regressions:
                slower = {result_type: rows_of(world, place, SLOWDOWN)}
                outcome.caught += verdict(slower) is Verdict.FAILED
            if place in outages and plain is Verdict.PASSED:
                kind = ("error", "silent", "slow")[place % 3]
                agent = chance.randrange(len(expected))
                lost = {result_type: rows_of(world, place, outage=(agent, kind))}
                if verdict(lost) is not Verdict.PASSED:
                    outcome.blocked += 1
                    others = [state for other, state in enumerate(world.states[place]) if other != agent]
                    outcome.blocked_with_another += others != ["ok"] * len(others)
        if rolling:
            rolling.add(at, rows)
    return outcome


def usual_limits(world: World) -> dict[str, float]:
    """What people do: limits for the mean over the agents, from the first four weeks."""
    means = [
        fmean(value for value, state in zip(values, states, strict=True) if state == "ok")
        for values, states in list(zip(world.values, world.states, strict=True))[: len(world.times) // 2]
        if "ok" in states
    ]
    return {"maximum + 20 %": max(means) * 1.2, "3 sigma": fmean(means) + 3 * pstdev(means)}


def evaluate(job: tuple[int, int]) -> dict[str, Any]:
    """Everything about one test."""
    number, seed = job
    started = time.process_time()
    world = simulate(number, seed)
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
        "promised": proposal.promised,
        "expected": proposal.expected_rate,
        "stated": proposal.caught,
        "possible": detectable(world, DEFAULT_RATE),
        "notes": list(proposal.notes),
        "outcomes": outcomes,
        "seconds": time.process_time() - started,
    }


def main(tests: int, seed: int) -> None:
    """Run all tests on two processes, and print the figures."""
    with multiprocessing.Pool(2) as pool:
        results = pool.map(evaluate, [(number, seed) for number in range(tests)], chunksize=1)
    print(
        "test            agents  promise  1 in: history  actual   30% caught: stated possible actual  outages blocked"
    )
    for one in results:
        outcome = one["outcomes"]["proposed"]
        history = f"{1 / one['expected']:.0f}" if one["expected"] else "never"
        actual = f"{outcome.rounds / outcome.alarms:.0f}" if outcome.alarms else "never"
        stated = "-" if one["stated"] is None else f"{one['stated']:.0%}"
        print(
            f"{one['name']:<16}{one['agents']:>6}  {'yes' if one['promised'] else 'no':<8}{history:>14}{actual:>8}"
            f"{stated:>20}{one['possible']:>9.0%}{outcome.caught / REGRESSIONS:>7.0%}{outcome.blocked:>10}"
        )
    print()
    promised = [one for one in results if one["promised"]]
    for name in ("proposed", "maximum + 20 %", "3 sigma"):
        total = Counter[str]()
        below = within = 0
        for one in results:
            outcome = one["outcomes"][name]
            rate = outcome.alarms / outcome.rounds
            below += rate <= 2 * DEFAULT_RATE
            within += DEFAULT_RATE / 2 <= rate <= 2 * DEFAULT_RATE
            total["caught"] += outcome.caught
            total["blocked"] += outcome.blocked
            total["with another"] += outcome.blocked_with_another
            if one["possible"] >= 0.95:
                total["possible"] += REGRESSIONS
                total["possible caught"] += outcome.caught
        print(
            f"{name:<15} rate at most twice 1/500 in {below} of {tests} tests, within a factor of 2 in {within}; "
            f"caught {total['caught'] / (tests * REGRESSIONS):.0%} of all regressions, "
            f"{total['possible caught'] / max(total['possible'], 1):.0%} of the detectable ones; "
            f"single-agent outages that block: {total['blocked']} of {tests * OUTAGES}, "
            f"in {total['with another']} of them a second agent failed by itself"
        )
    worse = [
        one["name"]
        for one in promised
        if one["outcomes"]["proposed"].alarms > 2 * DEFAULT_RATE * one["outcomes"]["proposed"].rounds
    ]
    silent = f"{len(worse)} ({'; '.join(worse)})" if worse else "none"
    print(f"promised in {len(promised)} of {tests} tests; of these worse than twice the promise: {silent}")
    print(f"detectable in {sum(one['possible'] >= 0.95 for one in results)} of {tests} tests")
    print(f"processor time {sum(one['seconds'] for one in results):.0f} s")
    for one in results:
        for note in one["notes"]:
            print(f"  {one['name']}: {note}")


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["50", "1"][len(sys.argv) - 1 :])))
