/** The timeline of the wait: run call sent and accepted, arrival of each agent's results, verdict. */
import { scaleLinear } from "d3-scale";
import * as React from "react";
import { agentName, type RunEvidence } from "../model/evidence";
import { counted, durationText, figure } from "../model/format";
import { shorten, useWidth } from "./basics";

interface Arrival {
  readonly name: string;
  readonly after: number;
}

export interface WaitTimes {
  /** Seconds since the run call was sent. */
  readonly accepted: number | null;
  readonly end: number;
  readonly arrivals: readonly Arrival[];
  /** Agents that reported at an unknown time. */
  readonly untimed: number;
  readonly missing: readonly string[];
}

export function waitTimes(evidence: RunEvidence): WaitTimes {
  const origin = evidence.sentAt ?? evidence.startedAt;
  const since = (time: number | null) =>
    time === null || origin === null ? null : Math.max(0, (time - origin) / 1000);
  const arrivals = evidence.reported
    .flatMap((agent) => {
      const after = agent.arrivedAfter;
      return after === null || after < 0 ? [] : [{ name: agentName(agent), after }];
    })
    .sort((left, right) => left.after - right.after);
  const last = arrivals.at(-1)?.after ?? 0;
  return {
    accepted: evidence.sentAt === null ? null : since(evidence.startedAt),
    end: Math.max(since(evidence.finishedAt) ?? 0, last, 1),
    arrivals,
    untimed: evidence.reportedCount - arrivals.length,
    missing: evidence.missing.map(agentName),
  };
}

export function Timeline({ evidence }: { readonly evidence: RunEvidence }) {
  const [element, width] = useWidth(900);
  const times = waitTimes(evidence);
  return (
    <div className="te-stack" style={{ gap: 8 }}>
      <div ref={element}>
        {evidence.finishedAt !== null || times.arrivals.length > 0 ? (
          <Drawing times={times} width={width} />
        ) : null}
      </div>
      <p className="te-muted te-small">{waitText(evidence, times)}</p>
    </div>
  );
}

const LANE = 54;
const AXIS = 22;

function Drawing({ times, width }: { readonly times: WaitTimes; readonly width: number }) {
  const left = 8;
  const right = width - 70;
  const scale = scaleLinear().domain([0, times.end]).range([left, right]);
  const top = 26;
  const bottom = top + LANE;
  const first = times.arrivals[0];
  const last = times.arrivals.at(-1);
  return (
    <svg
      className="te-svg"
      width={width}
      height={bottom + AXIS}
      viewBox={`0 0 ${width} ${bottom + AXIS}`}
      role="img"
      aria-label={describeWait(times)}
    >
      {scale.ticks(Math.max(2, Math.floor(width / 110))).map((tick) => (
        <g key={tick}>
          <line x1={scale(tick)} x2={scale(tick)} y1={top} y2={bottom} className="te-grid-line" />
          {scale(tick) > right - 14 ? null : (
            <text x={Math.max(scale(tick), 12)} y={bottom + 15} textAnchor="middle" className="te-t-muted">
              {figure(tick)}
            </text>
          )}
        </g>
      ))}
      <text x={width} y={bottom + 15} textAnchor="end" className="te-t-muted">
        s after sent
      </text>
      <line x1={left} x2={right} y1={bottom} y2={bottom} className="te-axis-line" />
      {times.accepted === null ? null : (
        <Mark x={scale(times.accepted)} top={top} bottom={bottom} label="accepted" anchor="start" />
      )}
      <Mark
        x={scale(times.end)}
        top={top}
        bottom={bottom}
        label="evaluated"
        anchor={width < 480 ? "end" : "start"}
      />
      {times.arrivals.map((arrival, index) => (
        <circle
          key={`${arrival.name} ${index}`}
          cx={scale(arrival.after)}
          cy={top + LANE / 2 + (((index * 5) % 9) - 4) * (times.arrivals.length > 6 ? 3.6 : 0)}
          r="4.5"
          className="te-dot"
          fillOpacity="0.8"
        >
          <title>{`${arrival.name}: ${durationText(arrival.after)}`}</title>
        </circle>
      ))}
      {first && last && first !== last && scale(last.after) - scale(first.after) > 380 ? (
        <text x={scale(first.after)} y={top - 4} className="te-t-muted">
          {shorten(`first: ${first.name}`, 26)}
        </text>
      ) : null}
      {last && width > 480 ? (
        <text
          x={scale(last.after)}
          y={top - 4}
          textAnchor={scale(last.after) > width / 3 ? "end" : "start"}
          className="te-t-muted"
        >
          {shorten(`last: ${last.name}`, 30)}
        </text>
      ) : null}
      {times.missing.slice(0, 12).map((name, index) => (
        <circle
          key={`${name} ${index}`}
          cx={scale(times.end) + 12 + (index % 4) * 12}
          cy={top + 12 + Math.floor(index / 4) * 14}
          r="4.5"
          fill="none"
          stroke="var(--te-incomplete)"
          strokeWidth="1.8"
          strokeDasharray="3 2"
        >
          <title>{`${name}: did not report`}</title>
        </circle>
      ))}
    </svg>
  );
}

interface MarkProps {
  readonly x: number;
  readonly top: number;
  readonly bottom: number;
  readonly label: string;
  readonly anchor: "start" | "end";
}

function Mark({ x, top, bottom, label, anchor }: MarkProps) {
  return (
    <g>
      <line x1={x} x2={x} y1={top - 2} y2={bottom} stroke="var(--te-text)" strokeWidth="1.5" />
      <text x={x + (anchor === "start" ? 5 : -5)} y={bottom - 5} textAnchor={anchor}>
        {label}
      </text>
    </g>
  );
}

function describeWait(times: WaitTimes): string {
  const last = times.arrivals.at(-1);
  return [
    times.accepted === null ? "" : `Accepted after ${durationText(times.accepted)}.`,
    last
      ? `${counted(times.arrivals.length, "agent")} reported, the last, ${last.name}, after ${durationText(last.after)}.`
      : "No arrival times.",
    times.missing.length > 0 ? `Missing: ${times.missing.slice(0, 10).join("; ")}.` : "",
    `Evaluated after ${durationText(times.end)}.`,
  ]
    .filter(Boolean)
    .join(" ");
}

export function waitText(evidence: RunEvidence, times: WaitTimes): string {
  return [
    `${counted(evidence.requests, "request")}, ${counted(evidence.runCalls, "run call")}`,
    evidence.throttledSeconds > 0
      ? `${durationText(evidence.throttledSeconds)} waiting for rate limits`
      : "no wait for rate limits",
    evidence.pacedSeconds > 0 ? `${durationText(evidence.pacedSeconds)} of pacing to keep quota free` : "",
    times.untimed > 0 ? `arrival time unknown for ${counted(times.untimed, "agent")}` : "",
    times.missing.length > 0
      ? `missing: ${times.missing.slice(0, 5).join("; ")}${evidence.missingCount > 5 ? ` and ${evidence.missingCount - 5} more` : ""}`
      : "",
  ]
    .filter(Boolean)
    .join(" · ");
}
