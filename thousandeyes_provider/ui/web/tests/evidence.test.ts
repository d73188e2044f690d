import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { agentStatuses, byCountry } from "../src/model/agents";
import { isRunEvidence, isSuiteEvidence, parseEvidence } from "../src/model/evidence";
import { AGENTS, CHECK, EVIDENCE, hostileEvidence } from "./fixtures";

describe("evidence", () => {
  it("is parsed completely", () => {
    const evidence = parseEvidence(EVIDENCE);
    expect(evidence.verdict).toBe("failed");
    expect(evidence.failedAgents[0]?.step).toEqual({
      kind: "page",
      name: "Log in",
      message: "refused",
      details: [["number", "2"]],
      console: ["TypeError: x"],
    });
    expect(evidence.samples.get("http-server.responseTime")?.get("4")).toEqual([408, 410]);
    expect(evidence.baseline?.samples.get("http-server.responseTime")?.get("2")).toEqual([230]);
    expect(evidence.links.map(([name]) => name)).toEqual(["round", "test"]);
    expect(evidence.cut).toEqual([]);
  });

  it("counts what was cut", () => {
    const reported = AGENTS.slice(0, 1);
    const evidence = parseEvidence({
      ...EVIDENCE,
      agents: { ...EVIDENCE.agents, reported },
      cut: { "agents.reported": 3, samples: 0 },
    });
    expect(evidence.reportedCount).toBe(4);
    expect(evidence.cut).toEqual([["agents.reported", 3]]);
  });

  it("has no baseline without one, and the reason of an unused baseline", () => {
    expect(parseEvidence({ ...EVIDENCE, baseline: null }).baseline).toBeNull();
    const { baseline } = parseEvidence({
      ...EVIDENCE,
      baseline: { source: "earlier", reason: "is missing" },
    });
    expect(baseline).toMatchObject({ source: "earlier", reason: "is missing" });
    expect(baseline?.samples.size).toBe(0);
  });

  it("drops links that are not http", () => {
    expect(parseEvidence({ links: { round: "javascript:alert(1)" } }).links).toEqual([]);
  });

  it("parses an unknown verdict as unknown", () => {
    expect(parseEvidence({ verdict: "excellent" }).verdict).toBe("unknown");
    expect(parseEvidence(null).verdict).toBe("unknown");
  });

  it("is parsed from any value", () => {
    fc.assert(
      fc.property(hostileEvidence, (value) => {
        const evidence = parseEvidence(value);
        agentStatuses(evidence);
        isRunEvidence(value);
        isSuiteEvidence(value);
        expect(Object.getPrototypeOf({})).toBe(Object.prototype);
        expect(({} as Record<string, unknown>).hacked).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });
});

describe("agents", () => {
  it("are listed once with their worst state", () => {
    const agents = agentStatuses(parseEvidence(EVIDENCE));
    expect(agents.map(({ name, state }) => [name, state])).toEqual([
      ["Singapore", "error"],
      ["Ashburn, VA", "failing"],
      ["London, England", "ok"],
      ["San Jose, CA", "ok"],
    ]);
  });

  it("keep the country from the list of reported agents", () => {
    const agents = agentStatuses(parseEvidence(EVIDENCE));
    expect(agents.find(({ name }) => name === "Ashburn, VA")?.country).toBe("US");
  });

  it("are not failing because of a warning", () => {
    const evidence = parseEvidence({ ...EVIDENCE, checks: [{ ...CHECK, severity: "warn" }] });
    expect(agentStatuses(evidence).find(({ name }) => name === "Ashburn, VA")?.state).toBe("ok");
  });

  it("are grouped by country, worst first", () => {
    const evidence = parseEvidence({
      ...EVIDENCE,
      agents: { ...EVIDENCE.agents, missing: [{ agent_id: "9", agent_name: "Perth", country: "AU" }] },
    });
    const countries = byCountry(agentStatuses(evidence));
    expect(countries.map(({ country, bad, missing, ok }) => [country, bad, missing, ok])).toEqual([
      ["US", 1, 0, 1],
      ["SG", 1, 0, 0],
      ["AU", 0, 1, 0],
      ["GB", 0, 0, 1],
    ]);
  });
});
