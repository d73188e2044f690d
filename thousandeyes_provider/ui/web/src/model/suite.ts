/** The evidence of a suite, and the rows of a gate: one row per test. */
import { failureText } from "./agents";
import {
  agentName,
  asVerdict,
  parseCheck,
  parseEvidence,
  type Check,
  type RunEvidence,
  type Verdict,
} from "./evidence";
import { unitOfCheck, valueText } from "./format";
import { asCount, asList, asNumber, asObject, asText, asTime, entriesOf, isObject, safeUrl } from "./json";
import type { JsonObject } from "./json";
import { limitsOf, picturesOf } from "./picture";

/** The values of a metric over the agents, for the small picture of a row. */
export interface Strip {
  readonly values: readonly number[];
  readonly failing: readonly number[];
  readonly limit: number;
  readonly unit: string;
}

/** A test of a gate. */
export interface GateRow {
  readonly key: string;
  /** Whether a suite has evaluated the test. */
  readonly inSuite: boolean;
  readonly verdict: Verdict;
  readonly testId: string;
  readonly testName: string;
  readonly testType: string;
  readonly blocking: boolean;
  readonly summary: string;
  readonly worstAgent: string;
  readonly worstReason: string;
  readonly worstCheck: Check | null;
  /** `null` if the values are unknown, as in the evidence of a suite. */
  readonly strip: Strip | null;
  readonly taskId: string | null;
  readonly mapIndex: number;
  readonly link: string | null;
}

export interface SuiteEvidence {
  readonly verdict: Verdict;
  readonly summary: string;
  readonly counts: ReadonlyMap<Verdict, number>;
  readonly expectedCount: number;
  readonly minPassed: string;
  readonly rows: readonly GateRow[];
  readonly missing: readonly string[];
  readonly shadow: boolean;
  readonly runCalls: number;
  readonly requests: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly cut: readonly (readonly [string, number])[];
  readonly raw: JsonObject;
}

export function parseSuite(value: unknown): SuiteEvidence {
  const raw = asObject(value);
  const runTaskId = asText(raw.run_task_id);
  const rows = asList(raw.tests).map((row, index) => parseRow(row, index, runTaskId));
  const counts = new Map<Verdict, number>();
  for (const [verdict, count] of entriesOf(raw.counts)) {
    const known = asVerdict(verdict);
    counts.set(known, (counts.get(known) ?? 0) + asCount(count));
  }
  return {
    verdict: asVerdict(raw.verdict),
    summary: asText(raw.summary),
    counts: counts.size > 0 ? counts : countVerdicts(rows),
    expectedCount: Math.max(asCount(raw.expected_count), rows.length),
    minPassed: minPassedText(raw.min_passed),
    rows,
    missing: asList(raw.missing).map(asText).filter(Boolean),
    shadow: raw.shadow === true,
    runCalls: asCount(raw.run_calls),
    requests: asCount(raw.requests),
    startedAt: asTime(raw.started_at),
    finishedAt: asTime(raw.finished_at),
    cut: entriesOf(raw.cut)
      .map(([name, count]) => [name, asCount(count)] as const)
      .filter(([, count]) => count > 0),
    raw,
  };
}

function minPassedText(value: unknown): string {
  const number = asNumber(value);
  if (number === null) return "";
  return Number.isInteger(number) ? String(number) : `${Number((number * 100).toFixed(1))} %`;
}

function parseRow(value: unknown, index: number, runTaskId: string): GateRow {
  const raw = asObject(value);
  const agent = asObject(raw.worst_agent);
  return {
    key: `suite ${index}`,
    inSuite: true,
    verdict: asVerdict(raw.verdict),
    testId: asText(raw.test_id),
    testName: asText(raw.test_name),
    testType: asText(raw.test_type),
    blocking: raw.blocking !== false,
    summary: asText(raw.summary),
    worstAgent: asText(agent.agent_name),
    worstReason: asText(agent.reason),
    // The row of a suite lists failed checks only, without a flag.
    worstCheck: isObject(raw.worst_check) ? parseCheck({ passed: false, ...raw.worst_check }) : null,
    strip: null,
    taskId: asText(raw.task_id) || runTaskId || null,
    mapIndex: asNumber(raw.map_index) ?? -1,
    link: safeUrl(raw.link),
  };
}

/** The row of a test with its own evidence. */
export function rowOfEvidence(evidence: RunEvidence, taskId: string | null, mapIndex: number): GateRow {
  const failed = evidence.failedAgents[0];
  const missing = evidence.missing[0];
  const check = worstCheck(evidence.checks);
  const failing = check && !check.passed ? check.failingAgents[0] : undefined;
  const agent = failed ?? failing ?? missing;
  return {
    key: `${taskId ?? "file"} ${mapIndex}`,
    inSuite: false,
    verdict: evidence.verdict,
    testId: evidence.testId,
    testName: evidence.testName,
    testType: evidence.testType,
    blocking: true,
    summary: evidence.summary || evidence.reason,
    worstAgent: agent ? agentName(agent) : "",
    worstReason: reasonOf(evidence, check),
    worstCheck: check,
    strip: stripOf(evidence, check),
    taskId,
    mapIndex,
    link: evidence.links.find(([name]) => name === "round")?.[1] ?? null,
  };
}

/** The first check that fails the verdict, or else the first failed check, or else the first check. */
export function worstCheck(checks: readonly Check[]): Check | null {
  return (
    checks.find((check) => !check.passed && !check.warnOnly) ??
    checks.find((check) => !check.passed) ??
    checks[0] ??
    null
  );
}

/** The problem of the worst agent: its error, its value outside a limit, or its absence. */
function reasonOf({ failedAgents, missing, testType }: RunEvidence, check: Check | null): string {
  const failed = failedAgents[0];
  if (failed) return failureText(failed, testType);
  const failing = check && !check.passed ? check.failingAgents[0] : undefined;
  if (check && failing) return `${check.metric} ${valueText(failing.actual, unitOfCheck(check))}`;
  return missing.length > 0 ? "did not report" : "";
}

function stripOf(evidence: RunEvidence, check: Check | null): Strip | null {
  if (check === null) return null;
  const key = `${check.resultType}.${check.metric}`;
  const picture = picturesOf(evidence).find((candidate) => candidate.key === key);
  const unit = unitOfCheck(check);
  const limit = limitsOf(check, unit)[0];
  if (!picture || !limit) return null;
  const valuesOf = (failing: boolean) =>
    picture.points.filter((point) => point.failing === failing).flatMap((point) => point.values);
  return { values: valuesOf(false), failing: valuesOf(true), limit: limit.value, unit };
}

/** A row from an index entry only (XCom `thousandeyes_verdict`). */
export function rowOfIndex(value: unknown, taskId: string, mapIndex: number): GateRow {
  const { verdict, test_id, test_name, test_type, summary } = asObject(value);
  return {
    ...rowOfEvidence(parseEvidence({ verdict, test_id, test_name, test_type, summary }), taskId, mapIndex),
  };
}

export function countVerdicts(rows: readonly GateRow[]): ReadonlyMap<Verdict, number> {
  const counts = new Map<Verdict, number>();
  for (const row of rows) counts.set(row.verdict, (counts.get(row.verdict) ?? 0) + 1);
  return counts;
}

/** The rows of suites, and of tests that belong to no suite. */
export function mergeRows(
  suites: readonly { readonly taskId: string; readonly suite: SuiteEvidence }[],
  rows: readonly GateRow[],
): readonly GateRow[] {
  const ofSuites = suites.flatMap(({ taskId, suite }) =>
    suite.rows.map((row) => ({ ...row, key: `${taskId} ${row.key}` })),
  );
  const places = new Set(ofSuites.map((row) => `${row.taskId ?? ""} ${row.mapIndex}`));
  const tests = new Set(ofSuites.filter((row) => row.taskId === null).map((row) => row.testId));
  return [
    ...ofSuites,
    ...rows.filter((row) => !places.has(`${row.taskId ?? ""} ${row.mapIndex}`) && !tests.has(row.testId)),
  ];
}

/** Verdicts by urgency. */
export const SEVERITY: readonly Verdict[] = [
  "failed",
  "error",
  "no_results",
  "incomplete",
  "unknown",
  "passed",
];

/** The verdict of a gate: the worst of its suites and of its tests without a suite. */
export function gateVerdict(suites: readonly SuiteEvidence[], rows: readonly GateRow[]): Verdict {
  const alone = rows.filter((row) => !row.inSuite);
  return worstVerdict([...suites, ...alone].map(({ verdict }) => verdict));
}

/** The tests of a gate by verdict, including those that the evidence of a suite omits. */
export function gateCounts(
  suites: readonly SuiteEvidence[],
  rows: readonly GateRow[],
): ReadonlyMap<Verdict, number> {
  const total = new Map<Verdict, number>();
  for (const counts of [
    ...suites.map((suite) => suite.counts),
    countVerdicts(rows.filter((row) => !row.inSuite)),
  ]) {
    for (const [verdict, count] of counts) total.set(verdict, (total.get(verdict) ?? 0) + count);
  }
  return total;
}

/** The worst of some verdicts. */
export function worstVerdict(verdicts: Iterable<Verdict>): Verdict {
  const present = new Set(verdicts);
  return SEVERITY.find((verdict) => present.has(verdict)) ?? "unknown";
}

export type SortKey = "verdict" | "test" | "type" | "agent" | "check";
export interface Sorting {
  readonly key: SortKey;
  readonly descending: boolean;
}

const COLLATOR = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Sort rows. Equal rows are sorted by verdict and name, so that the order is deterministic. */
export function sortRows(rows: readonly GateRow[], { key, descending }: Sorting): GateRow[] {
  const direction = descending ? -1 : 1;
  return [...rows].sort(
    (left, right) =>
      direction * compare(key, left, right) ||
      compare("verdict", left, right) ||
      compare("test", left, right) ||
      COLLATOR.compare(left.key, right.key),
  );
}

function compare(key: SortKey, left: GateRow, right: GateRow): number {
  switch (key) {
    case "verdict":
      return (
        Number(right.blocking) - Number(left.blocking) ||
        SEVERITY.indexOf(left.verdict) - SEVERITY.indexOf(right.verdict)
      );
    case "test":
      return COLLATOR.compare(left.testName || left.testId, right.testName || right.testId);
    case "type":
      return COLLATOR.compare(left.testType, right.testType);
    case "agent":
      return emptyLast(left.worstAgent, right.worstAgent);
    case "check":
      return emptyLast(left.worstCheck?.metric ?? "", right.worstCheck?.metric ?? "");
  }
}

function emptyLast(left: string, right: string): number {
  return Number(left === "") - Number(right === "") || COLLATOR.compare(left, right);
}

/** Rows that contain every word of the search and have one of the selected verdicts, if any are selected. */
export function filterRows(
  rows: readonly GateRow[],
  search: string,
  verdicts: ReadonlySet<Verdict>,
): readonly GateRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0 && verdicts.size === 0) return rows;
  return rows.filter((row) => {
    if (verdicts.size > 0 && !verdicts.has(row.verdict)) return false;
    const text =
      `${row.testName} ${row.testId} ${row.testType} ${row.worstAgent} ${row.worstReason} ${row.summary} ${row.worstCheck?.metric ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export interface Pattern {
  readonly label: string;
  readonly rows: readonly GateRow[];
}

/** Agents, reasons and checks that at least two tests without a pass have in common, most frequent first. */
export function patternsOf(rows: readonly GateRow[]): readonly Pattern[] {
  const groups = new Map<string, GateRow[]>();
  const add = (label: string, row: GateRow) => {
    groups.set(label, [...(groups.get(label) ?? []), row]);
  };
  for (const row of rows) {
    if (row.verdict === "passed") continue;
    if (row.worstAgent) add(row.worstAgent, row);
    if (row.worstReason) add(row.worstReason, row);
    if (row.worstCheck && !row.worstCheck.passed)
      add(`${row.worstCheck.metric} ${row.worstCheck.aggregate}`, row);
  }
  return [...groups]
    .map(([label, members]) => ({ label, rows: members }))
    .filter(({ rows: members }) => members.length > 1)
    .sort((left, right) => right.rows.length - left.rows.length || COLLATOR.compare(left.label, right.label));
}

/** Combine patterns of the same tests: an agent, and the reason that it reports for all of them. */
export function mergePatterns(patterns: readonly Pattern[]): readonly Pattern[] {
  const merged = new Map<string, Pattern>();
  for (const pattern of patterns) {
    const key = JSON.stringify(pattern.rows.map((row) => row.key).sort());
    const known = merged.get(key);
    merged.set(key, known ? { ...known, label: `${known.label} · ${pattern.label}` } : pattern);
  }
  return [...merged.values()];
}
