/** A task over its last DAG runs. */
import * as React from "react";
import { Card, VerdictBadge } from "../components/basics";
import { TrendPlot } from "../components/TrendPlot";
import {
  counted,
  figure,
  percentText,
  runName,
  shortSummary,
  shortTimeText,
  withUnit,
} from "../model/format";
import { driftOf, trendMetrics, trendOf, type TrendRun } from "../model/trend";

export interface TrendReportProps {
  readonly runs: readonly TrendRun[];
  readonly metric: string;
  readonly onMetric: (metric: string) => void;
  readonly urlOf: (runId: string) => string;
  readonly Link: React.ComponentType<{ readonly href: string; readonly children: React.ReactNode }>;
  readonly onOpen: (runId: string) => void;
}

export function TrendReport({ runs, metric, onMetric, urlOf, Link, onOpen }: TrendReportProps) {
  const metrics = React.useMemo(() => trendMetrics(runs), [runs]);
  const chosen = metrics.includes(metric) ? metric : (metrics[0] ?? "");
  const trend = React.useMemo(() => trendOf(runs, chosen), [runs, chosen]);
  const others = trend.points.filter((point) => point.otherTest).length;
  const selectId = React.useId();
  return (
    <>
      <Card
        title={
          chosen
            ? `${chosen.slice(chosen.indexOf(".") + 1)} over ${counted(runs.length, "DAG run")}`
            : "Trend"
        }
        note={driftText(driftOf(trend))}
      >
        {metrics.length > 1 ? (
          <p style={{ marginBottom: 10 }}>
            <label htmlFor={selectId}>Metric </label>
            <select
              id={selectId}
              className="te-select"
              value={chosen}
              onChange={(event) => onMetric(event.target.value)}
            >
              {metrics.map((name) => (
                <option key={name} value={name}>
                  {name.replace(".", ": ")}
                </option>
              ))}
            </select>
          </p>
        ) : null}
        <TrendPlot trend={trend} onOpen={onOpen} />
        {others > 0 ? (
          <p className="te-muted te-small">
            {counted(others, "run")} evaluated a different test; their values are not shown.
          </p>
        ) : null}
      </Card>
      <Card title="DAG runs" flush>
        <div className="te-scroll">
          <table className="te-table te-stackable">
            <caption className="te-visually-hidden">DAG runs, the newest first</caption>
            <thead>
              <tr>
                <th scope="col">Verdict</th>
                <th scope="col">DAG run</th>
                <th scope="col">Median</th>
                <th scope="col">Worst agent</th>
                <th scope="col">Summary</th>
              </tr>
            </thead>
            <tbody>
              {[...trend.points].reverse().map((point) => (
                <tr key={point.runId}>
                  <td className="te-fit">
                    <VerdictBadge verdict={point.verdict} plain />
                    {point.shadow ? <div className="te-row-meta">shadow run</div> : null}
                  </td>
                  <th scope="row">
                    <span className="te-date">
                      <Link href={urlOf(point.runId)}>{shortTimeText(point.time)}</Link>
                    </span>
                    <div className="te-row-meta" title={point.runId}>
                      {runName(point.runId, { withTime: false })}
                    </div>
                  </th>
                  <td data-label="Median" className="te-num te-fit">
                    {point.median === null ? "" : withUnit(point.median, trend.unit)}
                  </td>
                  <td data-label="Worst agent" className="te-num te-fit">
                    {point.worst === null ? "" : withUnit(point.worst, trend.unit)}
                  </td>
                  <td data-label="Summary">{shortSummary(point.summary, trend.test)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
    </>
  );
}

function driftText(drift: number | null): string {
  if (drift === null) return "";
  const change =
    Math.abs(drift) < 0.05 ? "steady" : percentText(Number(figure(drift).replace("\u2212", "-")) || drift);
  return `median ${change}, newest third of the runs compared with the oldest`;
}
