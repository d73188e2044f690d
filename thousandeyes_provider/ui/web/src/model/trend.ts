/** A task over its last DAG runs. */
import { max, median, min } from "d3-array";
import type { RunEvidence, Verdict } from "./evidence";
import { unitOf } from "./format";
import { limitsOf, type Limit } from "./picture";

export interface TrendRun {
  readonly runId: string;
  /** Logical date or start of the DAG run, in milliseconds since the epoch. */
  readonly time: number;
  /** `null` without evidence of the run. */
  readonly evidence: RunEvidence | null;
}

export interface TrendPoint {
  readonly runId: string;
  readonly time: number;
  readonly verdict: Verdict;
  /** Whether the run was in shadow mode. */
  readonly shadow: boolean;
  readonly summary: string;
  readonly median: number | null;
  readonly worst: number | null;
  /** Whether the run evaluated a different test than the newest run. Its values are not comparable. */
  readonly otherTest: boolean;
}

export interface Trend {
  readonly metric: string;
  readonly unit: string;
  readonly points: readonly TrendPoint[];
  readonly limits: readonly Limit[];
  readonly test: { readonly testType: string; readonly testId: string };
}

/** The metrics with values in any run. Metrics of checks come first. */
export function trendMetrics(runs: readonly TrendRun[]): readonly string[] {
  const names = new Set<string>();
  for (const { evidence } of [...runs].reverse()) {
    for (const check of evidence?.checks ?? []) {
      const name = `${check.resultType}.${check.metric}`;
      if (evidence?.samples.has(name) || evidence?.metrics.has(name)) names.add(name);
    }
  }
  for (const { evidence } of runs) {
    for (const name of evidence?.samples.keys() ?? []) names.add(name);
    for (const name of evidence?.metrics.keys() ?? []) names.add(name);
  }
  return [...names];
}

/** A metric over the runs, oldest first. */
export function trendOf(runs: readonly TrendRun[], metric: string): Trend {
  const ordered = [...runs].sort((left, right) => left.time - right.time);
  const dot = metric.indexOf(".");
  const resultType = metric.slice(0, Math.max(dot, 0));
  const name = metric.slice(dot + 1);
  const unit = unitOf(resultType, name);
  const newest = ordered.filter((run) => run.evidence).at(-1)?.evidence ?? null;
  const limits = (newest?.checks ?? [])
    .filter(
      (check) => check.resultType === resultType && check.metric === name && check.aggregate !== "count",
    )
    .flatMap((check) => limitsOf(check, unit));
  const lowIsBad = limits.length > 0 && limits.every((limit) => !limit.upper);
  return {
    metric,
    unit,
    limits,
    test: { testType: newest?.testType ?? "", testId: newest?.testId ?? "" },
    points: ordered.map(({ runId, time, evidence }) => {
      const shadow = evidence?.shadow ?? false;
      const otherTest = evidence !== null && newest !== null && evidence.testId !== newest.testId;
      const values = otherTest ? [] : [...(evidence?.samples.get(metric)?.values() ?? [])].flat();
      const summary = otherTest ? undefined : evidence?.metrics.get(metric);
      return {
        runId,
        time,
        verdict: evidence?.verdict ?? "unknown",
        shadow,
        summary: evidence?.summary ?? "No evidence",
        // If the samples were cut for size, the mean replaces the median.
        median: median(values) ?? summary?.mean ?? null,
        worst: (lowIsBad ? min(values) : max(values)) ?? (lowIsBad ? summary?.min : summary?.max) ?? null,
        otherTest,
      };
    }),
  };
}

/** Change of the median: the newest third compared with the oldest third; `null` with fewer than nine values. */
export function driftOf(trend: Trend): number | null {
  const values = trend.points.flatMap((point) => point.median ?? []);
  if (values.length < 9) return null;
  const third = Math.floor(values.length / 3);
  const before = median(values.slice(0, third)) ?? 0;
  const after = median(values.slice(-third)) ?? 0;
  return before === 0 ? null : (after - before) / Math.abs(before);
}
