/** The navigation entry: the newest gates of all DAGs that the user may read. */
import * as React from "react";
import type { Gate } from "../api/airflow";
import { Card, CountsBar, VerdictBadge } from "../components/basics";
import { counted, runName, shortSummary, shortTimeText } from "../model/format";
import { countVerdicts, worstVerdict } from "../model/suite";

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
  const suite = content?.suite ?? null;
  const counts = suite ? suite.counts : countVerdicts(content?.rows ?? []);
  const verdict = suite ? suite.verdict : counts.size > 0 ? worstVerdict(counts.keys()) : null;
  const worst = content?.rows.find((row) => row.verdict === verdict);
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
        {content ? counted(suite ? suite.rows.length : content.tests, "test") : ""}
        {counts.size > 0 ? <CountsBar counts={counts} /> : null}
      </td>
      <td data-label="Summary">
        <span className="te-clamp">{shortSummary(suite?.summary ?? worst?.summary ?? "", worst)}</span>
      </td>
    </tr>
  );
}
