import { describe, expect, it } from "vitest";
import { linePath } from "../src/components/TrendPlot";
import { parseEvidence } from "../src/model/evidence";
import { driftOf, trendMetrics, trendOf, type TrendRun } from "../src/model/trend";
import { EVIDENCE } from "./fixtures";

const METRIC = "http-server.responseTime";

function run(index: number, values: readonly number[] | null, changes: object = {}): TrendRun {
  const samples = Object.fromEntries(
    (values ?? []).map((value, agent) => [String(agent), { [METRIC]: value }]),
  );
  return {
    runId: `run ${index}`,
    time: index * 1000,
    evidence: values && parseEvidence({ ...EVIDENCE, samples, ...changes }),
  };
}

describe("a trend", () => {
  it("has the median and the worst agent of each run, oldest first", () => {
    const { points, unit, limits } = trendOf([run(2, [500, 700, 900]), run(1, [100, 200, 300])], METRIC);
    expect(points.map(({ runId, median, worst }) => [runId, median, worst])).toEqual([
      ["run 1", 200, 300],
      ["run 2", 700, 900],
    ]);
    expect(unit).toBe("ms");
    expect(limits[0]?.value).toBe(500);
  });

  it("has a gap at a run without evidence", () => {
    const { points } = trendOf([run(1, [100]), run(2, null), run(3, [300])], METRIC);
    expect(points[1]).toMatchObject({ median: null, worst: null, verdict: "unknown" });
    const path = linePath(
      points,
      (index) => index,
      (value) => value,
    );
    expect(path).toBe("M0.0,100.0M2.0,300.0");
  });

  it("marks runs in shadow mode", () => {
    const { points } = trendOf([run(1, [100], { shadow: true }), run(2, [300])], METRIC);
    expect(points.map(({ shadow }) => shadow)).toEqual([true, false]);
  });

  it("omits the values of another test", () => {
    const { points } = trendOf([run(1, [100], { test_id: "other" }), run(2, [300])], METRIC);
    expect(points[0]).toMatchObject({ otherTest: true, median: null });
  });

  it("uses mean and maximum if the samples were cut", () => {
    const { points } = trendOf([run(1, [], { cut: { samples: 3 } })], METRIC);
    expect(points[0]).toMatchObject({ median: 486.7, worst: 812 });
  });

  it("uses the lowest value as the worst with a lower limit", () => {
    const checks = [{ ...EVIDENCE.checks[0], comparison: { geq_to: 50 } }];
    expect(trendOf([run(1, [100, 200], { checks })], METRIC).points[0]?.worst).toBe(100);
  });

  it("offers judged metrics first", () => {
    const runs = [run(1, [100], { samples: { a: { "network.loss": 1, [METRIC]: 100 } } })];
    expect(trendMetrics(runs)).toEqual([METRIC, "network.loss"]);
  });

  it("detects a change of the median", () => {
    const slower = Array.from({ length: 30 }, (_, index) => run(index, [index < 15 ? 100 : 150]));
    expect(driftOf(trendOf(slower, METRIC))).toBeCloseTo(0.5);
    expect(driftOf(trendOf(slower.slice(0, 5), METRIC))).toBeNull();
  });
});
