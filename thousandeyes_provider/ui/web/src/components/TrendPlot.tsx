/** A metric over DAG runs: median and worst agent, limits, and the verdict of each run below. */
import * as React from "react";
import { figure, shortTimeText, VERDICT_NAMES, withUnit } from "../model/format";
import { domainOfValues } from "../model/picture";
import type { Trend, TrendPoint } from "../model/trend";
import { shorten, useWidth, VerdictShape } from "./basics";
import { scaleOf, ticksOf } from "./DotPlot";

const HEIGHT = 230;
const LEFT = 62;
const RIGHT = 14;
const TOP = 22;
const STRIP = 26;
const AXIS = 22;

export function TrendPlot({
  trend,
  onOpen,
}: {
  readonly trend: Trend;
  readonly onOpen: (runId: string) => void;
}) {
  const [element, width] = useWidth(900);
  return (
    <div className="te-stack" style={{ gap: 8 }}>
      <div ref={element}>
        <Drawing trend={trend} width={width} onOpen={onOpen} />
      </div>
      <ul className="te-legend" aria-label="Legend">
        <li>
          <svg width="22" height="10" aria-hidden="true">
            <line x1="0" x2="22" y1="5" y2="5" stroke="var(--te-dot)" strokeWidth="2" />
          </svg>
          median of the agents
        </li>
        <li>
          <svg width="12" height="12" aria-hidden="true">
            <circle cx="6" cy="6" r="4" className="te-dot-base" />
          </svg>
          worst agent
        </li>
        {trend.limits.length > 0 ? (
          <li>
            <svg width="22" height="10" aria-hidden="true">
              <line x1="0" x2="22" y1="5" y2="5" className="te-limit" />
            </svg>
            limit
          </li>
        ) : null}
        {trend.points.some((point) => point.shadow) ? (
          <li>
            <svg width="18" height="18" aria-hidden="true">
              <rect x="1" y="1" width="16" height="16" rx="4" className="te-shadow-run" />
            </svg>
            shadow run: reported only
          </li>
        ) : null}
        <li>bottom row: verdict of each run; select one to open its report</li>
      </ul>
    </div>
  );
}

interface DrawingProps {
  readonly trend: Trend;
  readonly width: number;
  readonly onOpen: (runId: string) => void;
}

function Drawing({ trend, width, onOpen }: DrawingProps) {
  const { points, limits, unit } = trend;
  const values = [
    ...points.flatMap((point) => [point.median ?? [], point.worst ?? []].flat()),
    ...limits.map((limit) => limit.value),
  ];
  const domain = domainOfValues(values, unit);
  const bottom = HEIGHT - STRIP - AXIS;
  const y = scaleOf(domain, bottom, TOP);
  const right = Math.max(width - RIGHT, LEFT + 60);
  const step = (right - LEFT) / Math.max(points.length, 1);
  const x = (index: number) => LEFT + step * (index + 0.5);
  const labelEvery = Math.max(1, Math.ceil(92 / step));
  return (
    <svg
      className="te-svg"
      width={width}
      height={HEIGHT}
      viewBox={`0 0 ${width} ${HEIGHT}`}
      role="group"
      aria-label={`Trend of ${trend.metric} over ${points.length} DAG runs. The table below has the values.`}
    >
      {ticksOf(domain, y, 400).map((tick) => (
        <g key={tick}>
          <line x1={LEFT} x2={right} y1={y(tick)} y2={y(tick)} className="te-grid-line" />
          <text x={LEFT - 8} y={y(tick) + 4} textAnchor="end" className="te-t-muted">
            {figure(tick)}
          </text>
        </g>
      ))}
      <text x={LEFT - 8} y={TOP - 9} textAnchor="end" className="te-t-muted">
        {unit}
      </text>
      <path
        d={linePath(points, x, y)}
        fill="none"
        stroke="var(--te-dot)"
        strokeWidth="2"
        strokeLinejoin="round"
      />
      {points.map((point, index) => (
        <g key={point.runId}>
          {point.worst === null ? null : (
            <circle cx={x(index)} cy={y(point.worst)} r="3.5" className="te-dot-base" />
          )}
          {point.median === null ? null : (
            <circle cx={x(index)} cy={y(point.median)} r="3.5" className="te-dot" />
          )}
          {index % labelEvery === 0 && points.length - index > labelEvery / 2 ? (
            <text x={x(index)} y={HEIGHT - 5} textAnchor="middle" className="te-t-muted">
              {shortTimeText(point.time)}
            </text>
          ) : null}
          <RunMark point={point} x={x(index)} y={bottom + 6} step={step} unit={unit} onOpen={onOpen} />
        </g>
      ))}
      {limits.map((limit, index) => (
        <g key={index} pointerEvents="none">
          <line x1={LEFT} x2={right} y1={y(limit.value)} y2={y(limit.value)} className="te-limit" />
          <text x={right} y={y(limit.value) - 5} textAnchor="end" className="te-t-halo">
            {shorten(limit.label, 40)}
          </text>
        </g>
      ))}
      <line x1={LEFT} x2={right} y1={bottom} y2={bottom} className="te-axis-line" />
    </svg>
  );
}

interface RunMarkProps {
  readonly point: TrendPoint;
  readonly x: number;
  readonly y: number;
  readonly step: number;
  readonly unit: string;
  readonly onOpen: (runId: string) => void;
}

/** The verdict of a run and the column above it, as one clickable area. */
function RunMark({ point, x, y, step, unit, onOpen }: RunMarkProps) {
  const size = Math.max(8, Math.min(15, step - 2));
  const text = [
    `${shortTimeText(point.time)}: ${VERDICT_NAMES[point.verdict]}${point.shadow ? " (shadow run)" : ""}`,
    point.median === null ? "" : `median ${withUnit(point.median, unit)}`,
    point.worst === null ? "" : `worst ${withUnit(point.worst, unit)}`,
  ]
    .filter(Boolean)
    .join(", ");
  return (
    <g
      role="button"
      tabIndex={0}
      aria-label={`Open the report of ${text}`}
      className="te-focusable"
      style={{ cursor: "pointer", color: `var(--te-${point.verdict})` }}
      onClick={() => onOpen(point.runId)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onOpen(point.runId);
      }}
    >
      <title>{text}</title>
      <rect x={x - step / 2} y={TOP} width={step} height={y - TOP + STRIP - 6} fill="transparent" />
      {point.shadow ? (
        <rect
          x={x - size / 2 - 2.5}
          y={y - 2.5}
          width={size + 5}
          height={size + 5}
          rx="4"
          className="te-shadow-run"
        />
      ) : null}
      <svg x={x - size / 2} y={y} width={size} height={size} viewBox="0 0 16 16">
        <VerdictShape verdict={point.verdict} />
      </svg>
    </g>
  );
}

/** A line through the medians, with gaps at runs without a median. */
export function linePath(
  points: readonly TrendPoint[],
  x: (index: number) => number,
  y: (value: number) => number,
): string {
  let drawing = false;
  return points
    .map((point, index) => {
      if (point.median === null) {
        drawing = false;
        return "";
      }
      const command = drawing ? "L" : "M";
      drawing = true;
      return `${command}${x(index).toFixed(1)},${y(point.median).toFixed(1)}`;
    })
    .join("");
}
