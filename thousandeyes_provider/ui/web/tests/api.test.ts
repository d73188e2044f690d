import { afterEach, describe, expect, it, vi } from "vitest";
import { readGate, readGates, readRun, readTrend, type Gate, type GateProgress } from "../src/api/airflow";
import { Api, ApiError, Limiter } from "../src/api/client";
import type { TrendRun } from "../src/model/trend";
import { EVIDENCE } from "./fixtures";

/** A stand-in for Airflow: responses by path, otherwise 404. Values are JSON text, as Airflow returns them. */
function airflow(answers: Readonly<Record<string, unknown>>, requests: string[] = []) {
  vi.stubGlobal("fetch", async (address: string) => {
    requests.push(decodeURIComponent(address));
    const [path = "", query = ""] = decodeURIComponent(address).split("?");
    const mapIndex = new URLSearchParams(query).get("map_index") ?? "";
    const found = answers[`${path}[${mapIndex}]`] ?? answers[path];
    const answer = typeof found === "function" ? found(new URLSearchParams(query)) : found;
    if (typeof answer === "number") return new Response("{}", { status: answer });
    if (answer === undefined) return new Response("{}", { status: 404 });
    return new Response(JSON.stringify(answer), { status: 200 });
  });
  return new Api(new AbortController().signal);
}

const TASK = { dagId: "dag", runId: "run", taskId: "verify", mapIndex: -1 };
const TASK_PATH = "api/v2/dags/dag/dagRuns/run/taskInstances/verify";
const xcom = (value: unknown) => ({ value: JSON.stringify(value) });
const entry = (taskId: string, mapIndex: number, runId = "run", second = 0) => ({
  dag_id: "dag",
  run_id: runId,
  task_id: taskId,
  map_index: mapIndex,
  timestamp: new Date(Date.UTC(2026, 10, 25, 18, 0, second)).toISOString(),
});

afterEach(() => vi.unstubAllGlobals());

describe("requests", () => {
  it("have no leading slash, so that they stay below Airflow's base path", async () => {
    const requests: string[] = [];
    await readRun(airflow({}, requests), TASK);
    expect(requests.every((address) => address.startsWith("api/v2/"))).toBe(true);
  });

  it("are sent a few at a time", async () => {
    const limiter = new Limiter(3);
    let running = 0;
    let most = 0;
    const work = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running -= 1;
    };
    await Promise.all(Array.from({ length: 20 }, () => limiter.run(work)));
    expect(most).toBe(3);
  });

  it.each([
    [401, /session has expired/],
    [403, /do not have permission to read the results of DAG dag.*403/],
    [500, /status 500/],
  ])("that end with %i are a sentence", async (status, sentence) => {
    const api = airflow({ [TASK_PATH]: status, [`${TASK_PATH}/xcomEntries/return_value`]: status });
    await expect(readRun(api, TASK)).rejects.toThrow(sentence);
    await expect(readRun(api, TASK)).rejects.toBeInstanceOf(ApiError);
  });
});

describe("the report of a run", () => {
  it("is the evidence of the task", async () => {
    const api = airflow({
      [TASK_PATH]: { state: "failed" },
      [`${TASK_PATH}/xcomEntries/return_value`]: xcom(EVIDENCE),
    });
    expect(await readRun(api, TASK)).toMatchObject({ kind: "run", evidence: { testId: "202703" } });
  });

  it("polls while the task waits", async () => {
    const report = await readRun(airflow({ [TASK_PATH]: { state: "deferred" } }), TASK);
    expect(report).toMatchObject({ kind: "none", pending: true });
  });

  it.each([
    [{ test_id: "1", deadline: 3 }, /sensor/],
    [{ dry_run: true, test_id: "1" }, /dry run/],
    ["s3://bucket/key", /custom XCom backend/],
  ])("says why %j is none", async (value, reason) => {
    const api = airflow({
      [TASK_PATH]: { state: "success" },
      [`${TASK_PATH}/xcomEntries/return_value`]: { value },
    });
    const report = await readRun(api, TASK);
    expect(report.kind === "none" && report.reason).toMatch(reason);
  });
});

describe("the report of a gate", () => {
  const entriesPath = "api/v2/dags/dag/dagRuns/run/taskInstances/~/xcomEntries";
  const xcomPath = (task: string, key = "return_value") =>
    `api/v2/dags/dag/dagRuns/run/taskInstances/${task}/xcomEntries/${key}`;
  const read = async (api: Api) => {
    let last: GateProgress | undefined;
    await readGate(api, "dag", "run", (progress) => (last = progress));
    return last;
  };
  const paged = (all: readonly unknown[]) => (query: URLSearchParams) => {
    const offset = Number(query.get("offset") ?? 0);
    return { xcom_entries: all.slice(offset, offset + 100), total_entries: all.length };
  };

  it("of 400 tests takes one request per hundred tests and one for the suite", async () => {
    const requests: string[] = [];
    const tests = Array.from({ length: 400 }, (_, index) => ({
      test_id: String(index),
      verdict: "passed",
      task_id: "run_test",
      map_index: index,
    }));
    const api = airflow(
      {
        [entriesPath]: paged([...tests.map((_, index) => entry("run_test", index)), entry("verdict", -1)]),
        [xcomPath("verdict")]: xcom({ verdict: "passed", tests }),
      },
      requests,
    );
    const progress = await read(api);
    expect(progress?.rows.length).toBe(400);
    expect(progress?.loaded).toBe(progress?.total);
    expect(requests.length).toBe(6);
  });

  it("reads the evidence of tests without a suite", async () => {
    const api = airflow({
      [entriesPath]: paged([entry("verify", -1), entry("mapped", 0), entry("mapped", 1)]),
      [xcomPath("verify")]: xcom(EVIDENCE),
      [xcomPath("mapped")]: xcom({ ...EVIDENCE, verdict: "passed" }),
    });
    expect((await read(api))?.rows.map(({ verdict }) => verdict).sort()).toEqual([
      "failed",
      "passed",
      "passed",
    ]);
  });

  it("of many tests without a suite reads their index entries only", async () => {
    const requests: string[] = [];
    const api = airflow(
      {
        [entriesPath]: paged(Array.from({ length: 80 }, (_, index) => entry("mapped", index))),
        [xcomPath("mapped", "thousandeyes_verdict")]: xcom({
          verdict: "passed",
          test_id: "1",
          test_name: "Checkout",
        }),
      },
      requests,
    );
    expect((await read(api))?.rows.length).toBe(80);
    expect(requests.some((address) => address.includes("return_value"))).toBe(false);
  });
});

describe("the trend", () => {
  it("reads the last 50 DAG runs", async () => {
    const requests: string[] = [];
    const api = airflow(
      {
        "api/v2/dags/dag/dagRuns": (query: URLSearchParams) => {
          expect(Object.fromEntries(query)).toEqual({ order_by: "-run_after", limit: "50" });
          return {
            dag_runs: [
              { dag_run_id: "run", run_after: "2026-11-25T18:00:00Z" },
              { dag_run_id: "gone", run_after: "2026-11-24T18:00:00Z" },
            ],
          };
        },
        [`${TASK_PATH}/xcomEntries/return_value`]: xcom(EVIDENCE),
      },
      requests,
    );
    let runs: readonly TrendRun[] = [];
    await readTrend(api, TASK, (read) => (runs = read));
    expect(runs.map(({ runId, evidence }) => [runId, evidence?.testId]).sort()).toEqual([
      ["gone", undefined],
      ["run", "202703"],
    ]);
    expect(requests.length).toBe(3);
  });
});

describe("the newest gates", () => {
  it("are the newest DAG runs, even next to a run of 400 tests", async () => {
    const all = "api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries";
    const api = airflow({
      [`${all}[-1]`]: { xcom_entries: [entry("verify", -1, "old", 1)], total_entries: 1 },
      [`${all}[0]`]: { xcom_entries: [entry("run_test", 0, "new", 9)], total_entries: 1 },
      "api/v2/dags/dag/dagRuns/old/taskInstances/~/xcomEntries": {
        xcom_entries: [entry("verify", -1, "old", 1)],
        total_entries: 1,
      },
      "api/v2/dags/dag/dagRuns/new/taskInstances/~/xcomEntries": {
        xcom_entries: Array.from({ length: 100 }, (_, index) => entry("run_test", index, "new", 9)),
        total_entries: 400,
      },
      "api/v2/dags/dag/dagRuns/old/taskInstances/verify/xcomEntries/thousandeyes_verdict": xcom({
        verdict: "passed",
        test_id: "1",
      }),
    });
    let gates: readonly Gate[] = [];
    await readGates(api, (read) => (gates = read));
    expect(gates.map(({ runId, content }) => [runId, content?.tests, content?.rows.length])).toEqual([
      ["new", 400, 0],
      ["old", 1, 1],
    ]);
  });

  it("show the suite of a gate with more tests than a page of entries", async () => {
    const run = "api/v2/dags/dag/dagRuns/run/taskInstances";
    const suite = {
      verdict: "failed",
      summary: "FAILED: 1 of 400",
      counts: { failed: 1, passed: 399 },
      tests: [],
    };
    const requests: string[] = [];
    const api = airflow(
      {
        "api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries[0]": {
          xcom_entries: [entry("verify", 0)],
          total_entries: 1,
        },
        "api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries[-1]": { xcom_entries: [], total_entries: 0 },
        [`${run}/~/xcomEntries`]: {
          xcom_entries: Array.from({ length: 100 }, (_, index) => entry("verify", index)),
          total_entries: 401,
        },
        [`${run}/~/xcomEntries[-1]`]: { xcom_entries: [entry("verdict", -1)], total_entries: 1 },
        [`${run}/verdict/xcomEntries/thousandeyes_verdict`]: xcom({ verdict: "failed", test_id: null }),
        [`${run}/verdict/xcomEntries/return_value`]: xcom(suite),
      },
      requests,
    );
    let gates: readonly Gate[] = [];
    await readGates(api, (read) => (gates = read));
    expect(gates[0]?.content?.suites[0]?.counts.get("passed")).toBe(399);
    expect(requests.length).toBe(6);
  });

  it("contain every suite, and the test whose creation failed", async () => {
    const run = "api/v2/dags/dag/dagRuns/run/taskInstances";
    const names = ["first", "second", "create"];
    const failed = { verdict: "error", test_id: "", test_name: "Checkout" };
    const suite = (verdict: string) => ({ verdict, tests: [{ test_id: "1", verdict, task_id: verdict }] });
    const values = [suite("passed"), suite("failed"), failed];
    const api = airflow({
      "api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries[0]": { xcom_entries: [], total_entries: 0 },
      "api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries[-1]": {
        xcom_entries: names.map((name) => entry(name, -1)),
        total_entries: 3,
      },
      [`${run}/~/xcomEntries`]: { xcom_entries: names.map((name) => entry(name, -1)), total_entries: 3 },
      ...Object.fromEntries(
        names.flatMap((name, index) => [
          [`${run}/${name}/xcomEntries/thousandeyes_verdict`, xcom({ ...values[index], tests: undefined })],
          [`${run}/${name}/xcomEntries/return_value`, xcom(values[index])],
        ]),
      ),
    });
    let gates: readonly Gate[] = [];
    await readGates(api, (read) => (gates = read));
    const content = gates[0]?.content;
    expect(content?.suites.map(({ verdict }) => verdict).sort()).toEqual(["failed", "passed"]);
    expect(content?.rows.map(({ verdict }) => verdict).sort()).toEqual(["error", "failed", "passed"]);
  });

  it("are those of the last days if Airflow does not sort", async () => {
    const all = "api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries";
    const asked: (string | null)[] = [];
    const api = airflow({
      [`${all}[0]`]: { xcom_entries: [], total_entries: 0 },
      "api/v2/dags/dag/dagRuns/a/taskInstances/~/xcomEntries": { xcom_entries: [], total_entries: 0 },
      "api/v2/dags/dag/dagRuns/b/taskInstances/~/xcomEntries": { xcom_entries: [], total_entries: 0 },
      "api/v2/dags/dag/dagRuns/recent/taskInstances/~/xcomEntries": { xcom_entries: [], total_entries: 0 },
      [`${all}[-1]`]: (query: URLSearchParams) => {
        asked.push(query.get("run_after_gte"));
        return query.has("run_after_gte")
          ? { xcom_entries: [entry("verify", -1, "recent", 50)], total_entries: 101 }
          : { xcom_entries: [entry("verify", -1, "a", 1), entry("verify", -1, "b", 2)], total_entries: 500 };
      },
    });
    let gates: readonly Gate[] = [];
    await readGates(api, (read) => (gates = read));
    expect(asked.length).toBe(2);
    expect(gates.map(({ runId }) => runId)).toEqual(["recent"]);
  });
});
