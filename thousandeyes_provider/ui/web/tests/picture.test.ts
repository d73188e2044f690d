import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { scaleOf, ticksOf } from "../src/components/DotPlot";
import { parseEvidence } from "../src/model/evidence";
import { domainOf, domainOfValues, picturesOf, splitPoints } from "../src/model/picture";
import { CHECK, EVIDENCE, hostileEvidence } from "./fixtures";

const pictureOf = (evidence: unknown) => {
  const [picture] = picturesOf(parseEvidence(evidence));
  if (!picture) throw new Error("no picture");
  return picture;
};

describe("the chart of a metric", () => {
  it("has a point for each agent: agents without a value, then worst first", () => {
    const { points } = pictureOf(EVIDENCE);
    expect(points.map(({ name, values, failing }) => [name, values, failing])).toEqual([
      ["Singapore", [], true],
      ["Ashburn, VA", [812], true],
      ["San Jose, CA", [408, 410], false],
      ["London, England", [240], false],
    ]);
  });

  it("has the limit with its unit, and the baseline of agents that have one", () => {
    const { limits, points } = pictureOf(EVIDENCE);
    expect(limits).toMatchObject([{ value: 500, upper: true, passed: false, label: "every ≤ 500\u00a0ms" }]);
    expect(points.map(({ baseline }) => baseline)).toEqual([[], [], [], [230]]);
  });

  it("has no baseline without one in the evidence", () => {
    const { points, baselineMedian } = pictureOf({ ...EVIDENCE, baseline: null });
    expect(points.every(({ baseline }) => baseline.length === 0)).toBe(true);
    expect(baselineMedian).toBeNull();
  });

  it("draws no line for a relative limit", () => {
    expect(
      pictureOf({ ...EVIDENCE, checks: [{ ...CHECK, comparison: { change_leq_to: 0.2 } }] }).limits,
    ).toEqual([]);
  });

  it("widens a limit by its tolerance", () => {
    const checks = [{ ...CHECK, comparison: { leq_to: 500, tolerance: 0.1 } }];
    expect(pictureOf({ ...EVIDENCE, checks }).limits[0]?.value).toBeCloseTo(550);
  });

  it("treats low values as bad with a lower limit", () => {
    const checks = [{ ...CHECK, comparison: { geq_to: 300 } }];
    const { points, higherIsWorse } = pictureOf({ ...EVIDENCE, checks });
    expect(higherIsWorse).toBe(false);
    expect(points.filter(({ values }) => values.length > 0)[0]?.name).toBe("London, England");
  });

  it("exists for all metrics if none is judged", () => {
    const [picture] = picturesOf(parseEvidence({ ...EVIDENCE, checks: [] }));
    expect(picture).toMatchObject({ metric: "responseTime", judged: false, unit: "ms" });
  });

  it("is missing if the samples were cut", () => {
    expect(picturesOf(parseEvidence({ ...EVIDENCE, samples: {}, cut: { samples: 3 } }))).toEqual([]);
  });
});

describe("scales", () => {
  const numbers = fc.array(
    fc.oneof(
      fc.double({ min: -1e15, max: 1e15, noNaN: true }),
      fc.double({ min: 0, max: 5000, noNaN: true }),
    ),
    { maxLength: 30 },
  );

  it("contain all values", () => {
    fc.assert(
      fc.property(numbers, fc.constantFrom("ms", "%", ""), (values, unit) => {
        const domain = domainOfValues(values, unit);
        expect(domain.high).toBeGreaterThan(domain.low);
        const scale = scaleOf(domain, 100, 500);
        for (const value of values) {
          expect(scale(value)).toBeGreaterThanOrEqual(100 - 1e-6);
          expect(scale(value)).toBeLessThanOrEqual(500 + 1e-6);
        }
      }),
    );
  });

  it("keep the order of values", () => {
    fc.assert(
      fc.property(numbers, (values) => {
        const scale = scaleOf(domainOfValues(values, "ms"), 0, 1000);
        const sorted = [...values].sort((left, right) => left - right);
        for (const [index, value] of sorted.slice(1).entries()) {
          expect(scale(value)).toBeGreaterThanOrEqual(scale(sorted[index] ?? value) - 1e-6);
        }
      }),
    );
  });

  it("are logarithmic for values of different magnitude, and start at zero otherwise", () => {
    expect(domainOfValues([20, 30_000], "ms").log).toBe(true);
    expect(domainOfValues([120, 800], "ms")).toMatchObject({ low: 0, log: false });
  });

  it("are 0 to 100 for differing percentages", () => {
    expect(domainOfValues([0, 100], "%")).toEqual({ low: 0, high: 100, log: false });
  });

  it("show small differences of large values", () => {
    const { low } = domainOfValues([1000, 1010], "ms");
    expect(low).toBeGreaterThan(900);
  });

  it("have ticks within the chart", () => {
    fc.assert(
      fc.property(numbers, (values) => {
        const domain = domainOfValues(values, "ms");
        for (const tick of ticksOf(domain, scaleOf(domain, 0, 500), 500)) {
          expect(tick).toBeGreaterThanOrEqual(domain.low - (domain.high - domain.low) * 1e-9);
          expect(tick).toBeLessThanOrEqual(domain.high + (domain.high - domain.low) * 1e-9);
        }
      }),
    );
  });

  it("exist for any evidence", () => {
    fc.assert(
      fc.property(hostileEvidence, (value) => {
        for (const picture of picturesOf(parseEvidence(value))) {
          const { low, high } = domainOf(picture);
          expect(Number.isFinite(low) && Number.isFinite(high) && low < high).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("many agents", () => {
  const samples = Object.fromEntries(
    Array.from({ length: 50 }, (_, index) => [String(index), { "http-server.responseTime": 100 + index }]),
  );

  it("share a row, except bad and worst agents", () => {
    const checks = [{ ...CHECK, failing_agents: [{ agent_id: "7", agent_name: "Seven", actual: 107 }] }];
    const picture = pictureOf({ ...EVIDENCE, samples, checks, failed_agents: [] });
    const { rows, rest } = splitPoints(picture.points, 12);
    expect(rows.length + rest.length).toBe(50);
    expect(rows.length).toBe(11);
    expect(rows.map(({ name }) => name)).toContain("Seven");
    expect(rows[0]?.values).toEqual([149]);
  });
});
