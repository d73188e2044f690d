/** The report of a gate: every ThousandEyes test of a DAG run, or of a suite. */
import * as React from "react";
import {
  Card,
  CountsBar,
  CutNotice,
  Facts,
  RawEvidence,
  VerdictBadge,
  type Fact,
} from "../components/basics";
import { GateTable, type GateTableProps } from "../components/GateTable";
import { WorstTests } from "../components/WorstTests";
import type { Verdict } from "../model/evidence";
import { counted, durationText, SHADOW_TEXT, shortSummary, timeText, VERDICT_NAMES } from "../model/format";
import { gateCounts, gateVerdict, SEVERITY, type GateRow, type SuiteEvidence } from "../model/suite";

export interface GateReportProps extends Pick<GateTableProps, "linksOf" | "Link"> {
  readonly title: string;
  readonly rows: readonly GateRow[];
  readonly suites: readonly SuiteEvidence[];
  readonly links?: React.ReactNode;
  /** Progress of the page while it loads. */
  readonly progress?: string;
}

export function GateReport({ title, rows, suites, links, progress, linksOf, Link }: GateReportProps) {
  const counts = React.useMemo(() => gateCounts(suites, rows), [suites, rows]);
  const suite = suites.length === 1 ? suites[0] : undefined;
  const verdict = gateVerdict(suites, rows);
  return (
    <>
      <div className={`te-banner te-tone-${verdict}`}>
        <div className="te-banner-head">
          <VerdictBadge verdict={verdict} />
          <h1>{title}</h1>
          {suite?.shadow ? <span className="te-muted">{SHADOW_TEXT}</span> : null}
        </div>
        {suites.map((one, index) => (
          <p key={index} className="te-headline">
            {shortSummary(one.summary)}
          </p>
        ))}
        <CountsBar counts={counts} />
        <Facts facts={factsOf(counts, rows, suites)} />
        {links ? <div className="te-links">{links}</div> : null}
        {progress ? (
          <p className="te-muted te-small" role="status">
            {progress}
          </p>
        ) : null}
      </div>
      {suites.map((one, index) => (
        <CutNotice key={index} cut={one.cut} />
      ))}
      {suites.some((one) => one.missing.length > 0) ? <MissingTests suites={suites} /> : null}
      <WorstTests rows={rows} linksOf={linksOf} Link={Link} />
      <Card title="Tests" flush>
        <GateTable rows={rows} linksOf={linksOf} Link={Link} />
      </Card>
      {suites.map((one, index) => (
        <RawEvidence key={index} value={one.raw} />
      ))}
    </>
  );
}

function factsOf(
  counts: ReadonlyMap<Verdict, number>,
  rows: readonly GateRow[],
  suites: readonly SuiteEvidence[],
): Fact[] {
  const suite = suites.length === 1 ? suites[0] : undefined;
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const alone = rows.filter((row) => !row.inSuite).length;
  const expected = suites.reduce((sum, one) => sum + one.expectedCount, alone);
  const facts: Fact[] = SEVERITY.filter((verdict) => counts.has(verdict)).map((verdict) => ({
    name: VERDICT_NAMES[verdict],
    value: String(counts.get(verdict)),
  }));
  facts.push({
    name: "Tests",
    value: suites.length > 0 ? `${total} of ${expected}` : String(total),
  });
  if (suite) {
    if (suite.minPassed) facts.push({ name: "Required to pass", value: suite.minPassed });
    if (suite.startedAt !== null && suite.finishedAt !== null) {
      facts.push({
        name: "Duration",
        value: durationText(Math.max(0, (suite.finishedAt - suite.startedAt) / 1000)),
      });
    }
    if (suite.finishedAt !== null) facts.push({ name: "Finished", value: timeText(suite.finishedAt) });
    facts.push({ name: "Run calls", value: String(suite.runCalls) });
  }
  return facts;
}

function MissingTests({ suites }: { readonly suites: readonly SuiteEvidence[] }) {
  const missing = suites.flatMap((suite) => suite.missing);
  const more = missing.length > 20 ? ` and ${missing.length - 20} more` : "";
  return (
    <p className="te-notice te-notice-cut">
      <strong>{counted(missing.length, "test")} without evidence:</strong> {missing.slice(0, 20).join("; ")}
      {more}. Their tasks did not run or ended without a verdict.
    </p>
  );
}
