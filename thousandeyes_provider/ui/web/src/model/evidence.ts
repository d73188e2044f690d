/** The evidence of a run in the form that the pages use. Parsing accepts any value and never throws. */
import {
  asCount,
  asList,
  asMeasure,
  asNumber,
  asObject,
  asText,
  asTime,
  entriesOf,
  isObject,
  safeUrl,
  type JsonObject,
} from "./json";

export const VERDICTS = ["passed", "failed", "incomplete", "no_results", "error", "unknown"] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Agent {
  readonly id: string;
  readonly name: string;
  readonly country: string;
}

export interface FailedStep {
  /** `request` of an API test, `page` of a web transaction, `component` of a page load. */
  readonly kind: string;
  readonly name: string;
  readonly message: string;
  readonly details: readonly (readonly [string, string])[];
  /** Error lines of the browser's console. */
  readonly console: readonly string[];
}

export interface FailedAgent extends Agent {
  readonly errors: readonly string[];
  readonly step: FailedStep | null;
}

export interface ReportedAgent extends Agent {
  /** Seconds since the run call was sent. */
  readonly arrivedAfter: number | null;
}

export interface MissingAgent extends Agent {
  readonly state: string;
  readonly missingRows: string;
}

export interface CheckAgent extends Agent {
  readonly actual: unknown;
  readonly before: unknown;
}

export interface Check {
  readonly resultType: string;
  readonly metric: string;
  readonly aggregate: string;
  readonly comparison: readonly (readonly [string, unknown])[];
  readonly passed: boolean;
  readonly warnOnly: boolean;
  readonly actual: unknown;
  readonly agents: number;
  readonly needed: number | null;
  readonly before: number | null;
  readonly change: number | null;
  readonly reason: string;
  readonly failingCount: number;
  readonly failingAgents: readonly CheckAgent[];
  readonly withoutMetricCount: number;
  readonly withoutMetric: readonly Agent[];
}

export interface Summary {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
}

/** Values by agent id. */
export type Samples = ReadonlyMap<string, readonly number[]>;

export interface Baseline {
  readonly source: string;
  readonly reason: string;
  /** Values by "result type.metric". */
  readonly samples: ReadonlyMap<string, Samples>;
}

export interface RunEvidence {
  readonly verdict: Verdict;
  readonly summary: string;
  readonly reason: string;
  /** Shadow mode: the task succeeds with any verdict. */
  readonly shadow: boolean;
  readonly testId: string;
  readonly testName: string;
  readonly testType: string;
  readonly accountGroupId: string;
  readonly failedAgents: readonly FailedAgent[];
  readonly checks: readonly Check[];
  readonly expectedCount: number | null;
  readonly expectedSource: string;
  readonly expected: readonly Agent[];
  readonly reported: readonly ReportedAgent[];
  readonly reportedCount: number;
  readonly missing: readonly MissingAgent[];
  readonly missingCount: number;
  readonly allowedErrors: number;
  readonly sentAt: number | null;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly rounds: readonly (readonly [string, number])[];
  readonly runCalls: number;
  readonly requests: number;
  readonly throttledSeconds: number;
  readonly pacedSeconds: number;
  /** Aggregates by "result type.metric". */
  readonly metrics: ReadonlyMap<string, Summary>;
  /** Values by "result type.metric". */
  readonly samples: ReadonlyMap<string, Samples>;
  readonly baseline: Baseline | null;
  readonly links: readonly (readonly [string, string])[];
  readonly cut: readonly (readonly [string, number])[];
  readonly raw: JsonObject;
}

export function asVerdict(value: unknown): Verdict {
  return VERDICTS.find((verdict) => verdict === value) ?? "unknown";
}

export function agentName(agent: Agent): string {
  return agent.name || (agent.id ? `agent ${agent.id}` : "unnamed agent");
}

/** The key of an agent in the samples: its id, or its name without an id. */
export function agentKey(agent: Agent): string {
  return agent.id || agent.name;
}

/** Whether it is the evidence of a suite, which lists tests, rather than that of a run. */
export function isSuiteEvidence(value: unknown): value is JsonObject {
  return isObject(value) && Array.isArray(value.tests) && "verdict" in value;
}

export function isRunEvidence(value: unknown): value is JsonObject {
  return isObject(value) && "verdict" in value && !isSuiteEvidence(value);
}

export function parseEvidence(value: unknown): RunEvidence {
  const raw = asObject(value);
  const agents = asObject(raw.agents);
  const cut = entriesOf(raw.cut).map(([name, count]) => [name, asCount(count)] as const);
  const cutOf = (name: string) => cut.find(([key]) => key === name)?.[1] ?? 0;
  const reported = asList(agents.reported).map(parseReported);
  const missing = asList(agents.missing).map(parseMissing);
  return {
    verdict: asVerdict(raw.verdict),
    summary: asText(raw.summary),
    reason: asText(raw.reason),
    shadow: raw.shadow === true,
    testId: asText(raw.test_id),
    testName: asText(raw.test_name),
    testType: asText(raw.test_type),
    accountGroupId: asText(raw.account_group_id),
    failedAgents: asList(raw.failed_agents).map(parseFailed),
    checks: asList(raw.checks).map(parseCheck),
    expectedCount: asNumber(agents.expected_count),
    expectedSource: asText(agents.expected_source),
    expected: asList(agents.expected).map(parseAgent),
    reported,
    reportedCount: reported.length + cutOf("agents.reported"),
    missing,
    missingCount: missing.length + cutOf("agents.missing"),
    allowedErrors: asCount(agents.allowed_errors),
    sentAt: asTime(raw.sent_at),
    startedAt: asTime(raw.started_at),
    finishedAt: asTime(raw.finished_at),
    rounds: entriesOf(raw.rounds).flatMap(([name, id]) => {
      const round = asNumber(id);
      return round === null ? [] : [[name, round] as const];
    }),
    runCalls: asCount(raw.run_calls),
    requests: asCount(raw.requests),
    throttledSeconds: Math.max(0, asNumber(raw.throttled_seconds) ?? 0),
    pacedSeconds: Math.max(0, asNumber(raw.paced_seconds) ?? 0),
    metrics: parseMetrics(raw.metrics),
    samples: parseSamples(raw.samples),
    baseline: parseBaseline(raw.baseline),
    links: entriesOf(raw.links).flatMap(([name, link]) => {
      const url = safeUrl(link);
      return url === null ? [] : [[name, url] as const];
    }),
    cut: cut.filter(([, count]) => count > 0),
    raw,
  };
}

function parseAgent(value: unknown): Agent {
  const raw = asObject(value);
  return {
    id: asText(raw.agent_id),
    name: asText(raw.agent_name),
    country: asText(raw.country).toUpperCase(),
  };
}

function parseFailed(value: unknown): FailedAgent {
  const raw = asObject(value);
  return {
    ...parseAgent(value),
    errors: asList(raw.errors).map(asText).filter(Boolean),
    step: parseStep(raw.step),
  };
}

function parseStep(value: unknown): FailedStep | null {
  if (!isObject(value)) return null;
  const { kind, name, message, console, ...rest } = value;
  return {
    kind: asText(kind),
    name: asText(name),
    message: asText(message),
    details: Object.entries(rest)
      .map(([key, detail]) => [key.replaceAll("_", " "), asText(detail)] as const)
      .filter(([, detail]) => detail !== ""),
    console: asList(console).map(asText).filter(Boolean),
  };
}

function parseReported(value: unknown): ReportedAgent {
  return { ...parseAgent(value), arrivedAfter: asMeasure(asObject(value).arrived_after) };
}

function parseMissing(value: unknown): MissingAgent {
  const raw = asObject(value);
  return { ...parseAgent(value), state: asText(raw.state), missingRows: asText(raw.missing_rows) };
}

export function parseCheck(value: unknown): Check {
  const raw = asObject(value);
  return {
    resultType: asText(raw.result_type),
    metric: asText(raw.metric),
    aggregate: asText(raw.aggregate),
    comparison: entriesOf(raw.comparison),
    passed: raw.passed === true,
    warnOnly: raw.severity === "warn",
    actual: raw.actual,
    agents: asCount(raw.agents),
    needed: asNumber(raw.needed),
    before: asNumber(raw.before),
    change: asNumber(raw.change),
    reason: asText(raw.reason),
    failingCount: asCount(raw.failing_count),
    failingAgents: asList(raw.failing_agents).map((agent) => ({
      ...parseAgent(agent),
      actual: asObject(agent).actual,
      before: asObject(agent).before,
    })),
    withoutMetricCount: asCount(raw.without_metric_count),
    withoutMetric: asList(raw.without_metric).map(parseAgent),
  };
}

function parseMetrics(value: unknown): ReadonlyMap<string, Summary> {
  const metrics = new Map<string, Summary>();
  for (const [resultType, ofType] of entriesOf(value)) {
    for (const [metric, figures] of entriesOf(ofType)) {
      const { min, mean, max } = asObject(figures);
      const summary = { min: asMeasure(min), mean: asMeasure(mean), max: asMeasure(max) };
      if (summary.min !== null && summary.mean !== null && summary.max !== null) {
        metrics.set(`${resultType}.${metric}`, summary as Summary);
      }
    }
  }
  return metrics;
}

/** Regroup samples from agent and "result type.metric" to metric and agent. */
function parseSamples(value: unknown): ReadonlyMap<string, Samples> {
  const samples = new Map<string, Map<string, readonly number[]>>();
  for (const [agent, ofAgent] of entriesOf(value)) {
    for (const [metric, sample] of entriesOf(ofAgent)) {
      const numbers = (Array.isArray(sample) ? sample : [sample]).flatMap((item) => asMeasure(item) ?? []);
      if (numbers.length === 0) continue;
      const ofMetric = samples.get(metric) ?? new Map<string, readonly number[]>();
      samples.set(metric, ofMetric.set(agent, numbers));
    }
  }
  return samples;
}

function parseBaseline(value: unknown): Baseline | null {
  if (!isObject(value)) return null;
  return {
    source: asText(value.source),
    reason: asText(value.reason),
    samples: parseSamples(value.samples),
  };
}
