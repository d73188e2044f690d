/** The chart of a metric: a value for each agent, the limits of its checks, and the baseline. */
import { max, median, min } from "d3-array";
import { agentNames, failureText } from "./agents";
import { agentKey, type Check, type RunEvidence, type Samples } from "./evidence";
import { expectedText, unitOf } from "./format";
import { asMeasure, asNumber } from "./json";

export interface AgentPoint {
  readonly key: string;
  readonly name: string;
  readonly values: readonly number[];
  readonly baseline: readonly number[];
  /** Whether a failed check names this agent, or its measurement failed. */
  readonly failing: boolean;
  /** The reason for a missing value; empty with a value. */
  readonly reason: string;
}

export interface Limit {
  readonly value: number;
  readonly label: string;
  readonly upper: boolean;
  readonly warnOnly: boolean;
  readonly passed: boolean;
  /** The compared value, if it is not the value of each agent: a median, for example. */
  readonly actual: number | null;
}

export interface MetricPicture {
  readonly key: string;
  readonly resultType: string;
  readonly metric: string;
  readonly unit: string;
  readonly judged: boolean;
  readonly passed: boolean;
  readonly higherIsWorse: boolean;
  /** Worst first, after agents without a value. */
  readonly points: readonly AgentPoint[];
  readonly limits: readonly Limit[];
  readonly median: number | null;
  readonly baselineMedian: number | null;
}

export interface Domain {
  readonly low: number;
  readonly high: number;
  readonly log: boolean;
}

const UPPER = ["less_than", "leq_to"];
const LOWER = ["greater_than", "geq_to"];
const LOW_IS_BAD =
  /availability|completion|mos|score|throughput|bandwidth|capacity|daysLeft|daysUntilExpiry/i;

/** The charts of a run: of every judged metric, or of every metric with values if no metric is judged. */
export function picturesOf(evidence: RunEvidence): readonly MetricPicture[] {
  const judged = new Set(evidence.checks.map((check) => `${check.resultType}.${check.metric}`));
  const keys = [...judged].filter((key) => evidence.samples.has(key));
  const rest = [...evidence.samples.keys()].filter((key) => !judged.has(key));
  return [...keys, ...rest].map((key) => pictureOf(evidence, key, judged.has(key)));
}

function pictureOf(evidence: RunEvidence, key: string, judged: boolean): MetricPicture {
  // The name of a metric may contain a dot, that of a result type does not.
  const dot = key.indexOf(".");
  const resultType = dot < 0 ? "" : key.slice(0, dot);
  const metric = key.slice(dot + 1);
  const unit = unitOf(resultType, metric);
  const checks = evidence.checks.filter(
    (check) => check.resultType === resultType && check.metric === metric && check.aggregate !== "count",
  );
  const samples: Samples = evidence.samples.get(key) ?? new Map();
  const before: Samples = evidence.baseline?.samples.get(key) ?? new Map();
  const limits = checks.flatMap((check) => limitsOf(check, unit));
  const higherIsWorse =
    limits.length > 0
      ? limits.filter(({ upper }) => upper).length * 2 >= limits.length
      : !LOW_IS_BAD.test(metric);
  const points = pointsOf(evidence, resultType, samples, before, checks, higherIsWorse);
  const values = points.flatMap((point) => point.values);
  return {
    key,
    resultType,
    metric,
    unit,
    judged,
    passed: checks.every((check) => check.passed || check.warnOnly),
    higherIsWorse,
    points,
    limits,
    median: median(values) ?? null,
    baselineMedian: median(points.flatMap((point) => point.baseline)) ?? null,
  };
}

/** The absolute bounds of a check. A relative change has no common bound for all agents. */
export function limitsOf(check: Check, unit: string): readonly Limit[] {
  const tolerance = asNumber(check.comparison.find(([name]) => name === "tolerance")?.[1]) ?? 0;
  return check.comparison.flatMap(([name, value]) => {
    const bound = asMeasure(value);
    const upper = UPPER.includes(name);
    if (bound === null || (!upper && !LOWER.includes(name))) return [];
    const each = check.aggregate === "every" || check.aggregate === "any";
    return [
      {
        value: bound + (upper ? 1 : -1) * Math.abs(bound) * tolerance,
        label: `${check.aggregate} ${expectedText({ ...check, comparison: [[name, value]] })}${tolerance ? " with tolerance" : ""}`,
        upper,
        warnOnly: check.warnOnly,
        passed: check.passed,
        actual: each || unit === "" ? null : asMeasure(check.actual),
      },
    ];
  });
}

function pointsOf(
  evidence: RunEvidence,
  resultType: string,
  samples: Samples,
  before: Samples,
  checks: readonly Check[],
  higherIsWorse: boolean,
): readonly AgentPoint[] {
  const names = agentNames(evidence);
  const failing = new Set([
    ...evidence.failedAgents.map(agentKey),
    ...checks.filter((check) => !check.passed).flatMap((check) => check.failingAgents.map(agentKey)),
  ]);
  const point = (key: string, reason: string, bad: boolean): AgentPoint => ({
    key,
    name: names.get(key) ?? `agent ${key}`,
    values: samples.get(key) ?? [],
    baseline: before.get(key) ?? [],
    failing: bad || failing.has(key),
    reason,
  });
  const withValue = [...samples.keys()].map((key) => point(key, "", false));
  const without = evidence.failedAgents
    .filter((agent) => !samples.has(agentKey(agent)))
    .map((agent) => point(agentKey(agent), failureText(agent, resultType), true));
  const missing = evidence.missing
    .filter((agent) => !samples.has(agentKey(agent)))
    .map((agent) => point(agentKey(agent), "did not report", false));
  const worst = (values: readonly number[]) => (higherIsWorse ? -(max(values) ?? 0) : (min(values) ?? 0));
  withValue.sort(
    (left, right) => worst(left.values) - worst(right.values) || (left.name < right.name ? -1 : 1),
  );
  return [...without, ...missing, ...withValue];
}

/** The scale of a chart. It contains all drawn values, and works with one value or none. */
export function domainOf(picture: Pick<MetricPicture, "points" | "limits" | "unit">): Domain {
  const values = [
    ...picture.points.flatMap((point) => [...point.values, ...point.baseline]),
    ...picture.limits.flatMap((limit) =>
      limit.actual === null ? [limit.value] : [limit.value, limit.actual],
    ),
  ].filter(Number.isFinite);
  return domainOfValues(values, picture.unit);
}

/** Minimum width of a scale; ticks of a narrower scale would be equal. */
const MIN_SPAN = 1e-6;

export function domainOfValues(values: readonly number[], unit: string): Domain {
  const low = min(values) ?? 0;
  const high = max(values) ?? 1;
  if (low > MIN_SPAN && high / low > 200) return { low: low / 1.2, high: high * 1.2, log: true };
  const spread = high - low;
  if (unit === "%" && low >= 0 && high <= 100 && spread > 5) return { low: 0, high: 100, log: false };
  // On a scale from zero, large values with small differences would overlap.
  const close = spread < Math.abs(high) * 0.15;
  const padding = Math.max(spread * 0.15, Math.abs(high) * 0.02, MIN_SPAN);
  const from = low >= 0 && (!close || low - padding < 0) ? 0 : low - padding;
  return { low: from, high: high + padding, log: false };
}

/** Number of agents with the same value from which they share a row. */
const MIN_ALIKE = 5;

/** The agents with their own row: bad agents and the worst ones. The other agents share a row. */
export function splitPoints(
  points: readonly AgentPoint[],
  most: number,
): { readonly rows: readonly AgentPoint[]; readonly rest: readonly AgentPoint[] } {
  const isBad = (point: AgentPoint) => point.failing || point.values.length === 0;
  const counts = new Map<string, number>();
  for (const point of points) {
    if (!isBad(point)) counts.set(String(point.values), (counts.get(String(point.values)) ?? 0) + 1);
  }
  const alike = (point: AgentPoint) =>
    !isBad(point) && point.baseline.length === 0 && (counts.get(String(point.values)) ?? 0) >= MIN_ALIKE;
  const own = Number.isFinite(most) ? points.filter((point) => !alike(point)) : points;
  if (own.length <= most) return { rows: own, rest: points.filter((point) => !own.includes(point)) };
  const rows = new Set([...own.filter(isBad).slice(0, most - 1), ...own].slice(0, most - 1));
  return {
    rows: points.filter((point) => rows.has(point)),
    rest: points.filter((point) => !rows.has(point)),
  };
}
