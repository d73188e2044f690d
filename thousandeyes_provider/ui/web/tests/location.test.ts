import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { xcomUrl } from "../src/api/client";
import { pageUrl, parsePlace, taskUrl, type Place } from "../src/model/location";

const id = fc.string({ minLength: 1, unit: "grapheme" });
const task = fc.record({ dagId: id, runId: id, taskId: id, mapIndex: fc.integer({ min: -1, max: 500 }) });

describe("addresses", () => {
  it("are parsed to the same page", () => {
    fc.assert(
      fc.property(task, fc.constantFrom("gate", "run", "trend"), (place, page) => {
        const asked = (
          page === "gate"
            ? { page, dagId: place.dagId, runId: place.runId }
            : page === "run"
              ? { page, ...place }
              : { page, metric: "network.loss", ...place }
        ) as Place;
        const { search } = new URL(pageUrl(asked), "http://airflow/base/");
        expect(parsePlace(search)).toEqual(asked);
      }),
    );
  });

  it("stay below the base path of Airflow for any ids", () => {
    fc.assert(
      fc.property(task, (place) => {
        for (const address of [
          pageUrl({ page: "run", ...place }),
          taskUrl(place),
          xcomUrl(place, "return_value"),
        ]) {
          expect(address.startsWith("/")).toBe(false);
        }
      }),
    );
    const manual = { dagId: "d", runId: "manual__2026-11-25T18:00:00+00:00", taskId: "a/b", mapIndex: 2 };
    expect(taskUrl(manual)).toBe(
      "dags/d/runs/manual__2026-11-25T18%3A00%3A00%2B00%3A00/tasks/a%2Fb/mapped/2",
    );
  });

  it("take missing parameters from Airflow", () => {
    const host = { dagId: "d", runId: "r", taskId: "t", mapIndex: "4" };
    expect(parsePlace("", host)).toEqual({ page: "run", ...host, mapIndex: 4 });
    expect(parsePlace("?map_index=x", {})).toEqual({ page: "gates" });
  });
});
