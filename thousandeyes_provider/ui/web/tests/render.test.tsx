import fc from "fast-check";
import * as React from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import { parseEvidence } from "../src/model/evidence";
import { SHADOW_TEXT } from "../src/model/format";
import { parseSuite, rowOfEvidence } from "../src/model/suite";
import { trendOf } from "../src/model/trend";
import { GateReport } from "../src/pages/GateReport";
import { headlineOf, RunReport } from "../src/pages/RunReport";
import { TrendReport } from "../src/pages/TrendReport";
import { EVIDENCE, HOSTILE_TEXTS, hostileEvidence } from "./fixtures";

const Link = ({ href, children }: { readonly href: string; readonly children: React.ReactNode }) => (
  <a href={href}>{children}</a>
);
const draw = (value: unknown) => renderToStaticMarkup(<RunReport evidence={parseEvidence(value)} />);

/** Elements and attributes that a browser would run or load. */
function expectHarmless(markup: string) {
  const tags = markup.match(/<[^>]*>/g) ?? [];
  for (const tag of tags) {
    expect(tag).not.toMatch(/^<(img|script|iframe|object|embed|link|style|base|form)\b/i);
    expect(tag).not.toMatch(/\son\w+=(?=[^"]*(?:"[^"]*"[^"]*)*$)/i);
    const href = /\shref="([^"]*)"/.exec(tag)?.[1];
    if (href !== undefined) expect(href).toMatch(/^(https?:\/\/|plugin\/|dags\/|api\/)/);
  }
}

describe("the report of a run", () => {
  it("names the verdict, the failing agents, the limit and the step", () => {
    const markup = draw(EVIDENCE);
    for (const text of [
      "Failed",
      "Checkout",
      "Singapore: Connection refused",
      "every ≤ 500\u00a0ms",
      "Ashburn, VA",
      "Failed page",
      "Log in",
      "TypeError: x",
    ]) {
      expect(markup).toContain(text);
    }
    expect(markup).not.toContain("This report is not complete");
  });

  it("states that a run in shadow mode does not fail the task", () => {
    expect(draw({ ...EVIDENCE, shadow: true })).toContain(SHADOW_TEXT);
    expect(draw(EVIDENCE)).not.toContain(SHADOW_TEXT);
  });

  it("lists omitted entries", () => {
    expect(draw({ ...EVIDENCE, cut: { samples: 12 } })).toContain("12 of samples");
  });

  it("renders a run without results", () => {
    const markup = draw({ verdict: "no_results", test_id: "7", agents: { expected_count: 3 } });
    expect(markup).toContain("No results");
    expect(markup).toContain("no new round");
    expect(draw({ verdict: "error", reason: "rate limit exceeded" })).toContain("rate limit exceeded");
    expect(draw({ verdict: "error", checks: [] })).toContain("not evaluated");
    expect(draw({ verdict: "passed", checks: [] })).toContain("none declared");
  });

  it("escapes text", () => {
    for (const text of HOSTILE_TEXTS) {
      const failed = [
        { agent_id: "1", agent_name: text, errors: [text], step: { name: text, message: text } },
      ];
      expectHarmless(
        draw({ ...EVIDENCE, test_name: text, failed_agents: failed, links: { round: text, [text]: text } }),
      );
    }
  });

  it("renders any evidence without active content", () => {
    fc.assert(
      fc.property(hostileEvidence, (value) => {
        const markup = draw(value);
        expectHarmless(markup);
        expect(markup).not.toMatch(/="NaN"/);
      }),
      { numRuns: 100 },
    );
  });

  it("shows the headline without the verdict", () => {
    expect(headlineOf(parseEvidence(EVIDENCE))).toMatch(/^Singapore: Connection refused/);
    expect(headlineOf(parseEvidence({ summary: "NO RESULTS: nothing arrived" }))).toBe("nothing arrived");
  });
});

describe("the report of a gate", () => {
  const gate = (tests: readonly unknown[]) => {
    const suite = parseSuite({ verdict: "failed", summary: "FAILED: 1 of 2", tests, missing: ["77"] });
    return renderToStaticMarkup(
      <GateReport title="Gate" rows={suite.rows} suites={[suite]} linksOf={() => null} Link={Link} />,
    );
  };

  it("has a row for each test, and names tests without evidence", () => {
    const markup = gate([
      { test_id: "1", test_name: "Checkout", verdict: "failed" },
      { test_id: "2", test_name: "Search", verdict: "passed" },
    ]);
    expect(markup.match(/scope="row"/g)?.length).toBe(2);
    expect(markup).toContain("77");
  });

  it("with a failed test outside of its suite has failed", () => {
    const suite = parseSuite({ verdict: "passed", tests: [{ test_id: "1", verdict: "passed" }] });
    const alone = rowOfEvidence(parseEvidence(EVIDENCE), "verify", -1);
    const markup = renderToStaticMarkup(
      <GateReport
        title="Gate"
        rows={[...suite.rows, alone]}
        suites={[suite]}
        linksOf={() => null}
        Link={Link}
      />,
    );
    expect(markup).toContain("te-banner te-tone-failed");
    expect(markup).toContain("2 of 2");
  });

  it("renders any gate without active content", () => {
    fc.assert(
      fc.property(fc.array(hostileEvidence, { maxLength: 4 }), (tests) => expectHarmless(gate(tests))),
      { numRuns: 60 },
    );
  });
});

describe("the trend", () => {
  it("shows which runs were in shadow mode", () => {
    const trend = (shadow: boolean) =>
      renderToStaticMarkup(
        <TrendReport
          runs={[{ runId: "run 1", time: 0, evidence: parseEvidence({ ...EVIDENCE, shadow }) }]}
          metric=""
          onMetric={() => undefined}
          urlOf={() => "plugin/thousandeyes"}
          Link={Link}
          onOpen={() => undefined}
        />,
      );
    expect(trend(true)).toContain("Failed (shadow run)");
    expect(trend(true)).toContain("shadow run: reported only");
    expect(trend(false)).not.toContain("shadow");
  });

  it("has a mark to open each run, and a table of the values", () => {
    const runs = [1, 2, 3].map((index) => ({
      runId: `run ${index}`,
      time: index * 86_400_000,
      evidence: index === 2 ? null : parseEvidence(EVIDENCE),
    }));
    expect(trendOf(runs, "http-server.responseTime").points.length).toBe(3);
    const markup = renderToStaticMarkup(
      <TrendReport
        runs={runs}
        metric=""
        onMetric={() => undefined}
        urlOf={(runId) => `plugin/thousandeyes?run_id=${encodeURIComponent(runId)}`}
        Link={Link}
        onOpen={() => undefined}
      />,
    );
    expect(markup.match(/role="button"/g)?.length).toBe(3);
    expect(markup.match(/scope="row"/g)?.length).toBe(3);
    expectHarmless(markup);
  });
});
