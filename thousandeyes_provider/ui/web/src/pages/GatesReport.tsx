/** The navigation entry: the newest gates of all DAGs that the user may read. */
import * as React from "react";
import type { Gate } from "../api/airflow";
import { Card, CountsBar, VerdictBadge } from "../components/basics";
import { counted, runName, shortSummary, shortTimeText } from "../model/format";
import { gateCounts, gateVerdict } from "../model/suite";

export interface GatesReportProps {
  readonly gates: readonly Gate[];
  readonly urlOf: (gate: Gate) => string;
  readonly Link: React.ComponentType<{ readonly href: string; readonly children: React.ReactNode }>;
}

export function GatesReport({ gates, urlOf, Link }: GatesReportProps) {
  return (
    <Card title="Newest gates" note={`${counted(gates.length, "DAG run")} with ThousandEyes tasks`} flush>
      <div className="te-scroll">
        <table className="te-table te-stackable">
          <caption className="te-visually-hidden">DAG runs with ThousandEyes tasks, the newest first</caption>
          <thead>
            <tr>
              <th scope="col">Verdict</th>
              <th scope="col">DAG run</th>
              <th scope="col">Tests</th>
              <th scope="col">Summary</th>
            </tr>
          </thead>
          <tbody>
            {gates.map((gate) => (
              <GateItem key={`${gate.dagId} ${gate.runId}`} gate={gate} url={urlOf(gate)} Link={Link} />
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function GateItem({
  gate,
  url,
  Link,
}: {
  readonly gate: Gate;
  readonly url: string;
  readonly Link: GatesReportProps["Link"];
}) {
  const { content } = gate;
  const suites = content?.suites ?? [];
  const rows = content?.rows ?? [];
  const counts = gateCounts(suites, rows);
  const verdict = suites.length + rows.length > 0 ? gateVerdict(suites, rows) : null;
  const suite = suites.find((one) => one.verdict === verdict);
  const worst = rows.find((row) => row.verdict === verdict);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return (
    <tr>
      <td className="te-fit">
        {verdict ? (
          <VerdictBadge verdict={verdict} plain />
        ) : (
          <span className="te-muted">{content ? "Not loaded" : "Loading…"}</span>
        )}
      </td>
      <th scope="row">
        <Link href={url}>{gate.dagName}</Link>
        <div className="te-row-meta">
          {shortTimeText(gate.time)} UTC ·{" "}
          <span title={gate.runId}>{runName(gate.runId, { withTime: false })}</span>
        </div>
      </th>
      <td data-label="Tests" style={{ minWidth: 140 }}>
        {content ? counted(suites.length > 0 ? total : content.tests, "test") : ""}
        {counts.size > 0 ? <CountsBar counts={counts} /> : null}
      </td>
      <td data-label="Summary">
        <span className="te-clamp">{shortSummary(suite?.summary ?? worst?.summary ?? "", worst)}</span>
      </td>
    </tr>
  );
}
