/** Reads the data of the pages from Airflow. */
import { asCount, asList, asNumber, asObject, asText, asTime, isObject } from "../model/json";
import { isRunEvidence, isSuiteEvidence, parseEvidence, type RunEvidence } from "../model/evidence";
import type { TaskPlace } from "../model/location";
import {
  mergeRows,
  parseSuite,
  rowOfEvidence,
  rowOfIndex,
  type GateRow,
  type SuiteEvidence,
} from "../model/suite";
import type { TrendRun } from "../model/trend";
import { ApiError, type Api } from "./client";

export const INDEX_KEY = "thousandeyes_verdict";
export const EVIDENCE_KEY = "return_value";
const PAGE_SIZE = 100;
const MAX_TREND_RUNS = 50;
/** Maximum number of tasks of a gate whose evidence is read. Of larger gates, only the index entries are read. */
const MAX_WHOLE_EVIDENCE = 60;

export interface Entry extends TaskPlace {
  readonly dagName: string;
  readonly timestamp: number;
  readonly runAfter: number | null;
}

export type RunReport =
  | { readonly kind: "run"; readonly evidence: RunEvidence; readonly state: string }
  | { readonly kind: "suite"; readonly suite: SuiteEvidence }
  | { readonly kind: "none"; readonly state: string; readonly pending: boolean; readonly reason: string };

const PENDING = [
  "queued",
  "running",
  "deferred",
  "scheduled",
  "up_for_retry",
  "up_for_reschedule",
  "restarting",
];

export async function readRun(api: Api, task: TaskPlace): Promise<RunReport> {
  const [value, instance] = await Promise.all([
    api.xcom(task, EVIDENCE_KEY),
    api.taskInstance(task).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return {};
      throw error;
    }),
  ]);
  const state = asText(asObject(instance).state);
  if (isSuiteEvidence(value)) return { kind: "suite", suite: parseSuite(value) };
  if (isRunEvidence(value)) return { kind: "run", evidence: parseEvidence(value), state };
  return { kind: "none", state, pending: PENDING.includes(state), reason: whyNoEvidence(value) };
}

function whyNoEvidence(value: unknown): string {
  if (value === undefined) return "This task has not pushed evidence.";
  if (asObject(value).dry_run === true) return "This task was a dry run: it started no test.";
  if (isObject(value)) {
    return "This task started a run and does not wait for its results. The evidence is in the task that does: the sensor.";
  }
  return "The evidence is kept in a place that Airflow's REST API does not read, such as a custom XCom backend. Use report_path to write the report as a file.";
}

function parseEntry(value: unknown): Entry {
  const raw = asObject(value);
  return {
    dagId: asText(raw.dag_id),
    dagName: asText(raw.dag_display_name) || asText(raw.dag_id),
    runId: asText(raw.run_id),
    taskId: asText(raw.task_id),
    mapIndex: asNumber(raw.map_index) ?? -1,
    timestamp: asTime(raw.timestamp) ?? 0,
    runAfter: asTime(raw.run_after) ?? asTime(raw.logical_date),
  };
}

/** Every index entry of a DAG run. */
async function gateEntries(api: Api, dagId: string, runId: string): Promise<Entry[]> {
  const readPage = (offset: number) =>
    api.xcomEntries(dagId, runId, "~", { xcom_key: INDEX_KEY, limit: PAGE_SIZE, offset });
  const first = asObject(await readPage(0));
  const total = asCount(first.total_entries);
  const offsets = [];
  for (let offset = PAGE_SIZE; offset < total; offset += PAGE_SIZE) offsets.push(offset);
  const rest = await Promise.all(offsets.map(readPage));
  return [first, ...rest.map(asObject)].flatMap((page) => asList(page.xcom_entries).map(parseEntry));
}

export interface GateProgress {
  readonly rows: readonly GateRow[];
  readonly suites: readonly { readonly taskId: string; readonly suite: SuiteEvidence }[];
  readonly total: number;
  readonly loaded: number;
}

/**
 * The tests of a DAG run, reported as they arrive.
 *
 * The evidence of a suite has a row for each of its tests, so that they need no separate requests.
 */
export async function readGate(
  api: Api,
  dagId: string,
  runId: string,
  onProgress: (progress: GateProgress) => void,
): Promise<void> {
  const entries = await gateEntries(api, dagId, runId);
  const suites: { taskId: string; suite: SuiteEvidence }[] = [];
  const rows: GateRow[] = [];
  let loaded = 0;
  const report = () => {
    onProgress({ rows: mergeRows(suites, rows), suites: [...suites], total: entries.length, loaded });
  };
  const readOne = async (entry: Entry, whole: boolean) => {
    const value = await api.xcom(entry, whole ? EVIDENCE_KEY : INDEX_KEY);
    loaded += 1;
    if (isSuiteEvidence(value)) suites.push({ taskId: entry.taskId, suite: parseSuite(value) });
    else if (isRunEvidence(value)) {
      rows.push(
        whole
          ? rowOfEvidence(parseEvidence(value), entry.taskId, entry.mapIndex)
          : rowOfIndex(value, entry.taskId, entry.mapIndex),
      );
    }
  };
  // Suites are not mapped. Unmapped tasks are read first, so that the tests of suites need no requests.
  const single = entries.filter((entry) => entry.mapIndex < 0);
  await Promise.all(single.map((entry) => readOne(entry, true)));
  report();
  const ofSuites = suites.flatMap(({ suite }) => suite.rows);
  const covered = new Set(ofSuites.map((row) => `${row.taskId ?? ""} ${row.mapIndex}`));
  // Rows without a task id may belong to any task.
  const unnamed = ofSuites.some((row) => row.taskId === null);
  const mapped = entries.filter(
    (entry) => entry.mapIndex >= 0 && !unnamed && !covered.has(`${entry.taskId} ${entry.mapIndex}`),
  );
  loaded += entries.length - single.length - mapped.length;
  const whole = mapped.length <= MAX_WHOLE_EVIDENCE;
  let reportedAt = Date.now();
  await Promise.all(
    mapped.map(async (entry) => {
      await readOne(entry, whole);
      if (Date.now() - reportedAt > 300) {
        reportedAt = Date.now();
        report();
      }
    }),
  );
  report();
}

/** The last DAG runs with the evidence of a task, newest first. */
export async function readTrend(
  api: Api,
  task: TaskPlace,
  onProgress: (runs: readonly TrendRun[], total: number) => void,
): Promise<void> {
  const response = asObject(await api.dagRuns(task.dagId, { order_by: "-run_after", limit: MAX_TREND_RUNS }));
  const runs = asList(response.dag_runs).map((value) => {
    const raw = asObject(value);
    return {
      runId: asText(raw.dag_run_id),
      time: asTime(raw.run_after) ?? asTime(raw.logical_date) ?? asTime(raw.start_date) ?? 0,
    };
  });
  const read: TrendRun[] = [];
  let reportedAt = Date.now();
  await Promise.all(
    runs.map(async (run) => {
      const value = await api.xcom({ ...task, runId: run.runId }, EVIDENCE_KEY);
      read.push({ ...run, evidence: isRunEvidence(value) ? parseEvidence(value) : null });
      if (Date.now() - reportedAt > 300) {
        reportedAt = Date.now();
        onProgress([...read], runs.length);
      }
    }),
  );
  onProgress(read, runs.length);
}

export interface Gate {
  readonly dagId: string;
  readonly dagName: string;
  readonly runId: string;
  readonly time: number;
  /** `null` until it is read. */
  readonly content: GateContent | null;
}

export interface GateContent {
  readonly tests: number;
  /** Empty if there are too many tests to read for a list of gates and no suite. */
  readonly rows: readonly GateRow[];
  readonly suites: readonly SuiteEvidence[];
}

const MAX_GATES = 25;
/** Maximum number of index entries of tests without a suite that the list of gates reads, newest gates first. */
const MAX_LISTED_TESTS = 200;

/** The newest DAG runs with ThousandEyes tasks, of all DAGs that the user may read. */
export async function readGates(api: Api, onProgress: (gates: readonly Gate[]) => void): Promise<void> {
  const groups = new Map<string, Entry[]>();
  for (const entry of await newestEntries(api)) {
    const key = JSON.stringify([entry.dagId, entry.runId]);
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  const gates: Gate[] = [...groups.values()]
    .map((group) => ({
      dagId: group[0]?.dagId ?? "",
      dagName: group[0]?.dagName ?? "",
      runId: group[0]?.runId ?? "",
      time: Math.max(...group.map((entry) => entry.timestamp)),
      content: null,
    }))
    .sort((left, right) => right.time - left.time)
    .slice(0, MAX_GATES);
  onProgress([...gates]);
  const budget = { tests: MAX_LISTED_TESTS };
  await Promise.all(
    [...gates].map(async (gate, index) => {
      gates[index] = { ...gate, content: await readGateContent(api, gate, budget) };
      onProgress([...gates]);
    }),
  );
}

async function readGateContent(
  api: Api,
  { dagId, runId }: Gate,
  budget: { tests: number },
): Promise<GateContent> {
  const read = async (more: Readonly<Record<string, number>>) => {
    const parameters = { xcom_key: INDEX_KEY, limit: PAGE_SIZE, ...more };
    const page = asObject(await api.xcomEntries(dagId, runId, "~", parameters));
    const found = asList(page.xcom_entries).map(parseEntry);
    return { found, count: Math.max(asCount(page.total_entries), found.length) };
  };
  const { found: entries, count: total } = await read({});
  const isWhole = total <= entries.length && total <= budget.tests;
  if (isWhole) budget.tests -= total;
  // The entry of a suite, which is not mapped, may be on another page than those of its tests.
  const reads = isWhole ? entries : (await read({ map_index: -1 })).found;
  const rows: GateRow[] = [];
  const suites: { taskId: string; suite: SuiteEvidence }[] = [];
  await Promise.all(
    reads.map(async (entry) => {
      const value = await api.xcom(entry, INDEX_KEY);
      if (!isObject(value)) return;
      if (value.test_id) {
        rows.push(rowOfIndex(value, entry.taskId, entry.mapIndex));
        return;
      }
      // Neither the index entry of a suite nor that of a failed creation has a test id.
      const evidence = await api.xcom(entry, EVIDENCE_KEY);
      if (isSuiteEvidence(evidence)) suites.push({ taskId: entry.taskId, suite: parseSuite(evidence) });
      else rows.push(rowOfIndex(value, entry.taskId, entry.mapIndex));
    }),
  );
  return {
    tests: total,
    rows: isWhole || suites.length > 0 ? mergeRows(suites, rows) : [],
    suites: suites.map(({ suite }) => suite),
  };
}

/**
 * The newest index entries, with at least one entry of each DAG run, for any number of tests.
 *
 * A mapped task has a map index 0. All other tasks have -1.
 */
async function newestEntries(api: Api): Promise<readonly Entry[]> {
  const [single, mapped] = await Promise.all([-1, 0].map((mapIndex) => newestOf(api, mapIndex)));
  return [...(single ?? []), ...(mapped ?? [])];
}

const DAY = 86_400_000;
const WINDOWS_IN_DAYS = [1, 7, 30];

async function newestOf(api: Api, mapIndex: number): Promise<readonly Entry[]> {
  const read = async (more: Readonly<Record<string, string>>) => {
    const parameters = { xcom_key: INDEX_KEY, map_index: mapIndex, limit: PAGE_SIZE, ...more };
    const page = asObject(await api.xcomEntries("~", "~", "~", parameters));
    return { entries: asList(page.xcom_entries).map(parseEntry), total: asCount(page.total_entries) };
  };
  const { entries, total } = await read({ order_by: "-timestamp" });
  if (total <= entries.length || isNewestFirst(entries)) return entries;
  // Airflow 3.1 does not sort XComs, so a shorter period is read.
  for (const days of WINDOWS_IN_DAYS) {
    const recent = await read({ run_after_gte: new Date(Date.now() - days * DAY).toISOString() });
    if (new Set(recent.entries.map((entry) => entry.dagId + entry.runId)).size >= MAX_GATES)
      return recent.entries;
    if (recent.total > recent.entries.length) return recent.entries;
  }
  return entries;
}

function isNewestFirst(entries: readonly Entry[]): boolean {
  return entries.every(
    (entry, index) => index === 0 || entry.timestamp <= (entries[index - 1]?.timestamp ?? 0),
  );
}
