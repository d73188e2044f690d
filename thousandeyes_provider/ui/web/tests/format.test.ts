import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCheck } from "../src/model/evidence";
import {
  actualText,
  countryName,
  durationText,
  expectedText,
  figure,
  percentText,
  runName,
  timeText,
  unitOf,
  withUnit,
} from "../src/model/format";
import { CHECK } from "./fixtures";

describe("numbers", () => {
  it("have significant digits", () => {
    expect([1234567, 812.04, 12.345, 0.81234, -3, 0].map(figure)).toEqual([
      "1,234,567",
      "812",
      "12.35",
      "0.812",
      "−3",
      "0",
    ]);
  });

  it("have units", () => {
    expect(withUnit(812, unitOf("http-server", "responseTime"))).toBe("812\u00a0ms");
    expect(unitOf("network", "loss")).toBe("%");
    expect(unitOf("constructor", "name")).toBe("");
  });

  it("are never shown as NaN", () => {
    fc.assert(
      fc.property(fc.double(), (value) => {
        expect(figure(value)).not.toContain("NaN");
        expect(durationText(value)).not.toContain("NaN");
      }),
    );
  });

  it("are formatted as durations and shares", () => {
    expect([0.44, 59.6, 200, 7500].map(durationText)).toEqual([
      "0.4\u00a0s",
      "1\u00a0min",
      "3\u00a0min 20\u00a0s",
      "2\u00a0h 5\u00a0min",
    ]);
    expect(percentText(0.25)).toBe("+25\u00a0%");
  });
});

describe("checks", () => {
  it("show expectation and result", () => {
    const check = parseCheck({ ...CHECK, comparison: { leq_to: 500, tolerance: 0.1 } });
    expect(expectedText(check)).toBe("≤ 500\u00a0ms (tolerance 10\u00a0%)");
    expect(actualText(check)).toBe("2 of 3 agents");
  });

  it("show the change from the baseline", () => {
    const check = parseCheck({
      ...CHECK,
      aggregate: "median",
      comparison: { change_leq_to: 0.2 },
      needed: null,
      actual: 600,
      before: 400,
      change: 0.5,
    });
    expect(expectedText(check)).toBe("change ≤ +20\u00a0%");
    expect(actualText(check)).toBe("600\u00a0ms (before 400\u00a0ms, +50\u00a0%)");
  });

  it("show the reason for a missing value", () => {
    expect(actualText(parseCheck({ ...CHECK, actual: null, reason: "no baseline" }))).toBe("no baseline");
  });
});

describe("places and times", () => {
  it("are named", () => {
    expect(countryName("SG")).toBe("Singapore");
    expect(countryName("")).toBe("Unknown country");
    expect(countryName("__proto__")).toBe("__proto__");
    expect(timeText(Date.UTC(2026, 10, 25, 18, 1, 14))).toBe("25 Nov 2026, 18:01:14 UTC");
    expect(timeText(null)).toBe("unknown");
  });
});

describe("the id of a DAG run", () => {
  it("is short if Airflow generated it, and complete otherwise", () => {
    const runId = "manual__2026-11-26T00:53:24.702880+00:00";
    expect(runName(runId)).toBe("manual run, 2026-11-26 00:53:24 UTC");
    expect(runName("asset_triggered__2026-11-26T00:53:24+00:00_x", { withTime: false })).toBe(
      "asset triggered run",
    );
    expect(runName("release 1.4__2")).toBe("release 1.4__2");
  });
});
