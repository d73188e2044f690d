import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { measureOf } from "../src/components/CheckPicture";
import { parseCheck, parseEvidence, VERDICTS } from "../src/model/evidence";
import { actualText } from "../src/model/format";
import {
  filterRows,
  gateCounts,
  gateVerdict,
  mergePatterns,
  parseSuite,
  patternsOf,
  rowOfEvidence,
  sortRows,
  worstVerdict,
  type GateRow,
  type SortKey,
} from "../src/model/suite";
import { CHECK, EVIDENCE, hostileEvidence } from "./fixtures";

const row = (changes: Partial<GateRow>): GateRow => ({
  ...rowOfEvidence(parseEvidence(EVIDENCE), "verify", -1),
  ...changes,
});

describe("the rows of a gate", () => {
  it("name the worst agent and the worst check", () => {
    expect(rowOfEvidence(parseEvidence(EVIDENCE), "verify", 3)).toMatchObject({
      worstAgent: "Singapore",
      worstReason: "refused",
      worstCheck: { metric: "responseTime", passed: false },
      mapIndex: 3,
    });
  });

  it("come from the evidence of a suite without separate requests", () => {
    const suite = parseSuite({
      verdict: "failed",
      counts: { failed: 1, passed: 1 },
      expected_count: 3,
      min_passed: 0.5,
      tests: [
        {
          test_id: "1",
          test_name: "Checkout",
          verdict: "failed",
          blocking: false,
          worst_agent: { agent_name: "Singapore", reason: "refused" },
          worst_check: { result_type: "http-server", metric: "responseTime", aggregate: "every", actual: 2 },
          task_id: "run",
          map_index: 0,
          link: "javascript:alert(1)",
        },
        { test_id: "2", verdict: "passed" },
      ],
      missing: ["7"],
    });
    expect(suite.rows[0]).toMatchObject({
      verdict: "failed",
      blocking: false,
      worstAgent: "Singapore",
      taskId: "run",
      mapIndex: 0,
      link: null,
    });
    expect(suite.rows[0]?.worstCheck?.passed).toBe(false);
    expect(suite.rows[1]).toMatchObject({ taskId: null, mapIndex: -1, blocking: true });
    const shared = parseSuite({ run_task_id: "gate.run", tests: [{ test_id: "1", map_index: 7 }] });
    expect(shared.rows[0]).toMatchObject({ taskId: "gate.run", mapIndex: 7 });
    expect(suite).toMatchObject({ expectedCount: 3, minPassed: "50 %", missing: ["7"] });
  });

  it("count agents without a unit", () => {
    const check = (more: object) =>
      parseCheck({
        result_type: "http-server",
        metric: "responseTime",
        aggregate: "every",
        actual: 2,
        ...more,
      });
    expect(actualText(check({}))).toBe("2 agents");
    expect(actualText(check({ agents: 3, needed: 3 }))).toBe("2 of 3 agents");
    expect(measureOf(check({ agents: 3, needed: 3 }))).toEqual({ actual: 2, limit: 3, max: 3 });
    expect(measureOf(check({}))).toBeNull();
  });

  it("are parsed from any evidence of a suite", () => {
    fc.assert(
      fc.property(fc.array(hostileEvidence, { maxLength: 5 }), hostileEvidence, (tests, rest) => {
        const suite = parseSuite({ ...(typeof rest === "object" ? rest : {}), tests });
        expect(suite.rows.length).toBe(tests.length);
        patternsOf(suite.rows);
      }),
    );
  });
});

describe("sorting", () => {
  const KEYS: readonly SortKey[] = ["verdict", "test", "type", "agent", "check"];
  const anyRow = fc
    .record({
      verdict: fc.constantFrom(...VERDICTS),
      testName: fc.string(),
      testType: fc.constantFrom("http-server", "api"),
      worstAgent: fc.string(),
      blocking: fc.boolean(),
      key: fc.uuid(),
    })
    .map(row);

  it("keeps every row and does not depend on the initial order", () => {
    fc.assert(
      fc.property(
        fc.array(anyRow, { maxLength: 20 }),
        fc.constantFrom(...KEYS),
        fc.boolean(),
        (rows, key, descending) => {
          const sorted = sortRows(rows, { key, descending });
          expect(new Set(sorted)).toEqual(new Set(rows));
          expect(sortRows([...rows].reverse(), { key, descending })).toEqual(sorted);
        },
      ),
    );
  });

  it("sorts by urgency of the verdict", () => {
    const rows = VERDICTS.map((verdict) => row({ verdict, key: verdict }));
    const names = sortRows(rows, { key: "verdict", descending: false }).map(({ verdict }) => verdict);
    expect(names).toEqual(["failed", "error", "no_results", "incomplete", "unknown", "passed"]);
  });

  it("sorts numbers in names by value, and rows without an agent last", () => {
    const names = ["Test 10", "Test 9"].map((testName) => row({ testName, key: testName }));
    expect(sortRows(names, { key: "test", descending: false })[0]?.testName).toBe("Test 9");
    const agents = ["", "Perth"].map((worstAgent) => row({ worstAgent, key: worstAgent }));
    expect(sortRows(agents, { key: "agent", descending: false })[0]?.worstAgent).toBe("Perth");
  });
});

describe("filtering", () => {
  const rows = [
    row({ testName: "Checkout", verdict: "failed", key: "a" }),
    row({ testName: "Search", verdict: "passed", worstAgent: "", worstReason: "", summary: "", key: "b" }),
  ];

  it("matches all words in any text", () => {
    expect(filterRows(rows, "singapore checkout", new Set()).map(({ key }) => key)).toEqual(["a"]);
    expect(filterRows(rows, "nothing", new Set())).toEqual([]);
    expect(filterRows(rows, "  ", new Set())).toBe(rows);
  });

  it("keeps the selected verdicts", () => {
    expect(filterRows(rows, "", new Set(["passed"] as const)).map(({ key }) => key)).toEqual(["b"]);
  });
});

describe("a gate with a suite and further tests", () => {
  const suite = parseSuite({
    verdict: "passed",
    counts: { passed: 900 },
    tests: [{ test_id: "1", verdict: "passed" }],
    cut: { tests: 899 },
  });

  it("has the worst verdict of the suite and of the further tests", () => {
    expect(gateVerdict([suite], suite.rows)).toBe("passed");
    expect(gateVerdict([suite], [...suite.rows, row({ verdict: "failed" })])).toBe("failed");
    const nonBlocking = parseSuite({ verdict: "passed", tests: [{ verdict: "failed", blocking: false }] });
    expect(gateVerdict([nonBlocking], nonBlocking.rows)).toBe("passed");
  });

  it("counts the tests that the evidence of the suite omits", () => {
    const counts = gateCounts([suite], [...suite.rows, row({ verdict: "failed" })]);
    expect(Object.fromEntries(counts)).toEqual({ passed: 900, failed: 1 });
  });
});

describe("a gate without a suite", () => {
  it("has the worst of its verdicts", () => {
    expect(worstVerdict(["passed", "incomplete", "failed"])).toBe("failed");
    expect(worstVerdict(["passed"])).toBe("passed");
    expect(worstVerdict([])).toBe("unknown");
  });

  it("shows the common failures of tests that did not pass", () => {
    const rows = ["a", "b"].map((key) => row({ key }));
    expect(patternsOf(rows).map(({ label }) => label)).toContain("Singapore");
    expect(patternsOf([row({ key: "a" })])).toEqual([]);
  });
});

describe("the small chart of a check", () => {
  it("is the share of agents, or the value and its limit", () => {
    expect(measureOf(parseCheck(CHECK))).toEqual({ actual: 2, limit: 3, max: 3 });
    const median = { ...CHECK, aggregate: "median", actual: 612, needed: undefined };
    expect(measureOf(parseCheck(median))).toMatchObject({ actual: 612, limit: 500 });
    expect(measureOf(parseCheck({ ...median, actual: null }))).toBeNull();
  });
});

describe("patterns of the same tests", () => {
  it("are combined", () => {
    const [first, second, third] = ["1", "2", "3"].map((key) => row({ key }));
    if (!first || !second || !third) throw new Error("no rows");
    const patterns = [
      { label: "Singapore", rows: [first, second] },
      { label: "Connection refused", rows: [second, first] },
      { label: "Tokyo", rows: [second, third] },
    ];
    expect(mergePatterns(patterns).map(({ label, rows }) => [label, rows.length])).toEqual([
      ["Singapore · Connection refused", 2],
      ["Tokyo", 2],
    ]);
  });
});
