/** Valid evidence as the provider writes it, and malformed evidence. */
import fc from "fast-check";

export const AGENTS = [
  { agent_id: "1", agent_name: "Singapore", country: "SG" },
  { agent_id: "2", agent_name: "London, England", country: "GB" },
  { agent_id: "3", agent_name: "Ashburn, VA", country: "US" },
  { agent_id: "4", agent_name: "San Jose, CA", country: "US" },
];

export const CHECK = {
  result_type: "http-server",
  metric: "responseTime",
  aggregate: "every",
  comparison: { leq_to: 500 },
  passed: false,
  severity: "error",
  actual: 2,
  agents: 3,
  needed: 3,
  failing_count: 1,
  failing_agents: [{ agent_id: "3", agent_name: "Ashburn, VA", actual: 812 }],
  without_metric_count: 1,
  without_metric: [{ agent_id: "1", agent_name: "Singapore" }],
};

export const EVIDENCE = {
  verdict: "failed",
  summary: "FAILED: Singapore: Connection refused; 2 of 4 agents ok. http-server test 202703 'Checkout'",
  test_id: "202703",
  test_name: "Checkout",
  test_type: "http-server",
  account_group_id: "11",
  failed_agents: [
    {
      ...AGENTS[0],
      errors: ["http-server: Connection refused"],
      step: { kind: "page", name: "Log in", message: "refused", number: 2, console: ["TypeError: x", ""] },
    },
  ],
  checks: [CHECK],
  agents: {
    expected: AGENTS,
    expected_count: 4,
    expected_source: "the test definition",
    reported: AGENTS.map((agent, index) => ({ ...agent, arrived_after: 10 + index })),
    missing: [],
    allowed_errors: 0,
  },
  sent_at: "2026-11-25T18:00:00Z",
  started_at: "2026-11-25T18:00:01Z",
  finished_at: "2026-11-25T18:01:14Z",
  rounds: { "http-server": 1795629600 },
  run_calls: 1,
  requests: 9,
  throttled_seconds: 0,
  paced_seconds: 0,
  metrics: { "http-server": { responseTime: { min: 240, mean: 486.7, max: 812 } } },
  samples: {
    "2": { "http-server.responseTime": 240 },
    "3": { "http-server.responseTime": 812 },
    "4": { "http-server.responseTime": [408, 410] },
  },
  baseline: {
    source: "the run at 2026-11-24T18:00:00Z",
    samples: { "2": { "http-server.responseTime": 230 } },
  },
  links: { round: "https://app.thousandeyes.com/round", test: "https://app.thousandeyes.com/test" },
};

export const HOSTILE_TEXTS = [
  '<img src=x onerror="window.hacked=1">',
  "</script><script>window.hacked=1</script>",
  "javascript:window.hacked=1",
  "__proto__",
  "constructor",
  "\u202Egnp.exe",
  "",
  "NaN",
];

const hostileText = fc.oneof(fc.string(), fc.constantFrom(...HOSTILE_TEXTS));
const hostileNumber = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(0, -1, 1e308, -1e308, 1e-308));
const anything = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    hostileText,
    hostileNumber,
    fc.constant(null),
    fc.boolean(),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(hostileText, tie("value"), { maxKeys: 4 }),
  ),
})).value;

const PATHS: readonly (readonly (string | number)[])[] = [
  ["verdict"],
  ["summary"],
  ["test_name"],
  ["failed_agents"],
  ["failed_agents", 0, "agent_name"],
  ["failed_agents", 0, "errors"],
  ["failed_agents", 0, "step"],
  ["checks"],
  ["checks", 0, "comparison"],
  ["checks", 0, "actual"],
  ["checks", 0, "failing_agents"],
  ["checks", 0, "metric"],
  ["checks", 0, "agents"],
  ["agents"],
  ["agents", "reported"],
  ["agents", "reported", 1, "country"],
  ["agents", "reported", 2, "arrived_after"],
  ["agents", "missing"],
  ["samples"],
  ["samples", "2"],
  ["samples", "3", "http-server.responseTime"],
  ["baseline"],
  ["baseline", "samples"],
  ["metrics"],
  ["links"],
  ["links", "round"],
  ["cut"],
  ["sent_at"],
  ["finished_at"],
  ["throttled_seconds"],
];

/** Evidence with arbitrary values in some places, or an arbitrary value in place of the evidence. */
export const hostileEvidence: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 1, arbitrary: anything },
  {
    weight: 5,
    arbitrary: fc
      .array(fc.tuple(fc.constantFrom(...PATHS), anything), { minLength: 1, maxLength: 5 })
      .map((changes) => {
        const evidence: unknown = structuredClone(EVIDENCE);
        for (const [path, value] of changes) replace(evidence, path, value);
        return evidence;
      }),
  },
);

function replace(root: unknown, path: readonly (string | number)[], value: unknown) {
  let holder = root;
  for (const key of path.slice(0, -1)) {
    if (typeof holder !== "object" || holder === null) return;
    holder = (holder as Record<string | number, unknown>)[key];
  }
  const last = path.at(-1);
  if (typeof holder === "object" && holder !== null && last !== undefined) {
    Object.defineProperty(holder, last, { value, enumerable: true, configurable: true, writable: true });
  }
}
