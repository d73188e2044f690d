/** A metric over its agents: a dot per agent, limits as lines, the baseline as hollow dots. */
import { scaleLinear, scaleLog } from "d3-scale";
import * as React from "react";
import { counted, figure, valueText, withUnit } from "../model/format";
import { domainOf, splitPoints, type AgentPoint, type Domain, type MetricPicture } from "../model/picture";
import { shorten, useWidth } from "./basics";

const ROW = 22;
const MAX_ROWS = 14;
const AXIS = 24;
const LABEL_LINE = 15;

export interface Scale {
  (value: number): number;
  ticks(count: number): number[];
}

export function scaleOf({ low, high, log }: Domain, from: number, to: number): Scale {
  const scale = log ? scaleLog() : scaleLinear();
  return scale.domain([low, high]).range([from, to]) as unknown as Scale;
}

export function ticksOf(domain: Domain, scale: Scale, width: number): readonly number[] {
  const count = Math.max(2, Math.floor(width / 90));
  const ticks = scale.ticks(count);
  return domain.log ? ticks.filter((tick) => /^[125]/.test(tick.toExponential())).slice(0, 12) : ticks;
}

export function DotPlot({ picture }: { readonly picture: MetricPicture }) {
  const [isWhole, setWhole] = React.useState(false);
  const [element, width] = useWidth(620);
  const { rows, rest } = splitPoints(picture.points, isWhole ? Number.POSITIVE_INFINITY : MAX_ROWS);
  const hasBaseline = picture.points.some((point) => point.baseline.length > 0);
  const title = `${picture.resultType} ${picture.metric}`;
  return (
    <div className="te-stack" style={{ gap: 8 }}>
      <div ref={element}>
        <Drawing picture={picture} rows={rows} rest={rest} width={width} title={title} />
      </div>
      <ul className="te-legend" aria-label="Legend">
        <li>
          <Key>
            <circle cx="7" cy="7" r="5" className="te-dot" />
          </Key>
          agent
        </li>
        {picture.points.some((point) => point.failing) ? (
          <li>
            <Key>
              <rect
                x="2.5"
                y="2.5"
                width="9"
                height="9"
                transform="rotate(45 7 7)"
                className="te-dot te-dot-bad"
              />
            </Key>
            failing agent
          </li>
        ) : null}
        {hasBaseline ? (
          <li>
            <Key>
              <circle cx="7" cy="7" r="4.5" className="te-dot-base" />
            </Key>
            baseline
          </li>
        ) : null}
        {picture.limits.length > 0 ? (
          <li>
            <Key>
              <line x1="7" x2="7" y1="0" y2="14" className="te-limit" />
            </Key>
            limit
          </li>
        ) : null}
      </ul>
      <div style={{ display: "flex", flexWrap: "wrap", gap: "6px 18px", alignItems: "baseline" }}>
        {isWhole || rest.length > 0 ? (
          <button
            type="button"
            className="te-button"
            onClick={() => setWhole(!isWhole)}
            aria-expanded={isWhole}
          >
            {isWhole ? "Show fewer agents" : `Show all ${counted(picture.points.length, "agent")}`}
          </button>
        ) : null}
        <ValuesTable picture={picture} hasBaseline={hasBaseline} />
      </div>
    </div>
  );
}

function Key({ children }: { readonly children: React.ReactNode }) {
  return (
    <svg width="14" height="14" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

function ValuesTable({
  picture,
  hasBaseline,
}: {
  readonly picture: MetricPicture;
  readonly hasBaseline: boolean;
}) {
  const [isOpen, setOpen] = React.useState(false);
  return (
    <details className="te-details" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Values as a table</summary>
      {isOpen ? (
        <div className="te-scroll">
          <table className="te-table">
            <caption className="te-visually-hidden">
              {picture.resultType} {picture.metric} by agent, the worst first
            </caption>
            <thead>
              <tr>
                <th scope="col">Agent</th>
                <th scope="col">Value</th>
                {hasBaseline ? <th scope="col">Baseline</th> : null}
                <th scope="col">State</th>
              </tr>
            </thead>
            <tbody>
              {picture.points.map((point) => (
                <tr key={point.key}>
                  <th scope="row">{point.name}</th>
                  <td className="te-num">{pointText(point, picture.unit)}</td>
                  {hasBaseline ? (
                    <td className="te-num">
                      {point.baseline.length > 0 ? valueText(point.baseline, picture.unit) : "none"}
                    </td>
                  ) : null}
                  <td>{point.failing ? "failing" : point.values.length > 0 ? "ok" : point.reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
    </details>
  );
}

function pointText(point: AgentPoint, unit: string): string {
  return point.values.length > 0 ? valueText(point.values, unit) : "no value";
}

interface DrawingProps {
  readonly picture: MetricPicture;
  readonly rows: readonly AgentPoint[];
  readonly rest: readonly AgentPoint[];
  readonly width: number;
  readonly title: string;
}

function Drawing({ picture, rows, rest, width, title }: DrawingProps) {
  const narrow = width < 480;
  const nameWidth = narrow ? 104 : 168;
  const valueWidth = narrow ? 58 : 78;
  const left = nameWidth + 8;
  const right = Math.max(width - valueWidth, left + 60);
  const domain = domainOf(picture);
  const scale = scaleOf(domain, left, right);
  const limitLabels = placeLabels(picture, scale, left, right);
  const lines = limitLabels.reduce((most, label) => Math.max(most, label.line + 1), 0);
  const top = lines * LABEL_LINE + 6;
  const restRow = rest.length > 0 ? ROW + 8 : 0;
  const bottom = top + rows.length * ROW + restRow;
  const letters = Math.floor(nameWidth / 6.6);
  const ticks = ticksOf(domain, scale, right - left);
  return (
    <svg
      className="te-svg"
      width={width}
      height={bottom + AXIS}
      viewBox={`0 0 ${width} ${bottom + AXIS}`}
      role="img"
      aria-label={describe(picture, title)}
    >
      {ticks.map((tick) => (
        <g key={tick}>
          <line x1={scale(tick)} x2={scale(tick)} y1={top} y2={bottom} className="te-grid-line" />
          <text x={scale(tick)} y={bottom + 15} textAnchor="middle" className="te-t-muted">
            {figure(tick)}
          </text>
        </g>
      ))}
      <line x1={left} x2={right} y1={bottom} y2={bottom} className="te-axis-line" />
      <text x={width} y={bottom + 15} textAnchor="end" className="te-t-muted">
        {picture.unit}
        {domain.log ? " (log)" : ""}
      </text>
      {limitLabels.map(({ limit, x, line, anchor, text }, index) => {
        const tone = limit.passed ? "" : limit.warnOnly ? "te-limit-warn" : "te-limit-broken";
        const color = limit.passed ? "te-t-muted" : limit.warnOnly ? "te-t-incomplete" : "te-t-failed";
        return (
          <g key={`${limit.label} ${index}`}>
            <line
              x1={x}
              x2={x}
              y1={line * LABEL_LINE + LABEL_LINE}
              y2={bottom}
              className={`te-limit ${tone}`}
            />
            <text
              x={x + (anchor === "start" ? 4 : -4)}
              y={line * LABEL_LINE + 12}
              textAnchor={anchor}
              className={color}
            >
              {text}
            </text>
            {limit.actual !== null && Number.isFinite(scale(limit.actual)) ? (
              <path
                d={`M${scale(limit.actual) - 5},${bottom + 2}h10l-5,-8z`}
                fill={limit.passed ? "var(--te-muted)" : "var(--te-failed)"}
              >
                <title>{`${limit.label}: actual ${withUnit(limit.actual, picture.unit)}`}</title>
              </path>
            ) : null}
          </g>
        );
      })}
      {rows.map((point, index) => (
        <Row
          key={point.key}
          point={point}
          y={top + index * ROW + ROW / 2}
          scale={scale}
          left={left}
          right={right}
          nameWidth={nameWidth}
          letters={letters}
          unit={narrow ? "" : picture.unit}
          width={width}
        />
      ))}
      {rest.length > 0 ? (
        <g>
          <text x={nameWidth} y={bottom - restRow / 2 + 4} textAnchor="end" className="te-t-muted">
            {counted(rest.length, rows.length > 0 ? "more agent" : "agent")}
          </text>
          {rest.flatMap((point, index) =>
            point.values.map((value, place) => (
              <circle
                key={`${point.key} ${place}`}
                cx={scale(value)}
                // Spread evenly over the height of the row, at deterministic positions.
                cy={bottom - restRow / 2 + (((index * 7) % 13) - 6) * 1.1}
                r="4"
                className={`te-dot ${point.failing ? "te-dot-bad" : ""}`}
                fillOpacity="0.6"
              >
                <title>{`${point.name}: ${withUnit(value, picture.unit)}`}</title>
              </circle>
            )),
          )}
        </g>
      ) : null}
    </svg>
  );
}

interface RowProps {
  readonly point: AgentPoint;
  readonly y: number;
  readonly scale: Scale;
  readonly left: number;
  readonly right: number;
  readonly nameWidth: number;
  readonly letters: number;
  readonly unit: string;
  readonly width: number;
}

function Row({ point, y, scale, left, right, nameWidth, letters, unit, width }: RowProps) {
  const bad = point.failing;
  const tone = bad ? "te-t-failed" : "";
  return (
    <g>
      <title>{`${point.name}: ${point.reason || valueText(point.values, unit)}${point.baseline.length > 0 ? `, baseline ${valueText(point.baseline, unit)}` : ""}`}</title>
      <text x={nameWidth} y={y + 4} textAnchor="end" className={tone}>
        {shorten(point.name, bad ? letters * 0.88 : letters)}
      </text>
      <line x1={left} x2={right} y1={y} y2={y} className="te-grid-line" />
      {point.baseline
        .slice(0, 1)
        .map((before, place) =>
          point.values[place] === undefined ? null : (
            <line
              key="moved"
              x1={scale(before)}
              x2={scale(point.values[place])}
              y1={y}
              y2={y}
              className="te-link-line"
            />
          ),
        )}
      {point.baseline.map((value, place) => (
        <circle key={`before ${place}`} cx={scale(value)} cy={y} r="4.5" className="te-dot-base" />
      ))}
      {point.values.map((value, place) =>
        bad ? (
          <rect
            key={place}
            x={scale(value) - 5}
            y={y - 5}
            width="10"
            height="10"
            transform={`rotate(45 ${scale(value)} ${y})`}
            className="te-dot te-dot-bad"
          />
        ) : (
          <circle key={place} cx={scale(value)} cy={y} r="5.5" className="te-dot" />
        ),
      )}
      {point.values.length > 0 ? (
        <text x={width} y={y + 4} textAnchor="end" className={`te-num ${tone}`}>
          {shorten(valueText(point.values, unit), 14)}
        </text>
      ) : (
        <Reason text={point.reason} bad={bad} left={left} y={y} width={width} />
      )}
    </g>
  );
}

interface ReasonProps {
  readonly text: string;
  readonly bad: boolean;
  readonly left: number;
  readonly y: number;
  readonly width: number;
}

/** The reason for a missing value, in place of the dot. The lines of limits leave a gap for it. */
function Reason({ text, bad, left, y, width }: ReasonProps) {
  const letter = bad ? 7.1 : 6.6;
  const shown = `${bad ? "✕" : "○"} ${shorten(text, Math.floor((width - left - 24) / letter))}`;
  return (
    <>
      <rect
        x={left + 1}
        y={y - ROW / 2 + 1}
        width={Math.min(shown.length * letter + 10, width - left)}
        height={ROW - 2}
        fill="var(--te-raised)"
      />
      <text x={left + 6} y={y + 4} className={bad ? "te-t-failed" : "te-t-incomplete"}>
        {shown}
      </text>
    </>
  );
}

interface PlacedLabel {
  readonly limit: MetricPicture["limits"][number];
  readonly x: number;
  readonly line: number;
  readonly anchor: "start" | "end";
  readonly text: string;
}

/** Labels of limits are stacked where they would overlap. */
function placeLabels(
  picture: MetricPicture,
  scale: Scale,
  left: number,
  right: number,
): readonly PlacedLabel[] {
  const occupied: [number, number][][] = [];
  return [...picture.limits]
    .filter((limit) => Number.isFinite(scale(limit.value)))
    .sort((first, second) => first.value - second.value)
    .slice(0, 6)
    .map((limit) => {
      const x = scale(limit.value);
      const anchor = x > (left + right) / 2 ? "end" : "start";
      const room = anchor === "end" ? x : right + 70 - x;
      const text = shorten(limit.label, Math.floor(room / 6.4));
      const length = text.length * 6.6;
      const from = anchor === "end" ? x - length : x;
      const span: [number, number] = [from - 4, from + length + 4];
      let line = occupied.findIndex((spans) =>
        spans.every(([start, end]) => span[1] < start || span[0] > end),
      );
      if (line < 0) line = occupied.push([]) - 1;
      occupied[line]?.push(span);
      return { limit, x, line, anchor, text } as const;
    });
}

/** Text alternative of the chart for screen readers. */
export function describe(picture: MetricPicture, title: string): string {
  const values = picture.points.filter((point) => point.values.length > 0);
  const worst = values[0];
  const failing = picture.points.filter((point) => point.failing).map((point) => point.name);
  return [
    `${title} of ${counted(picture.points.length, "agent")}.`,
    picture.median === null ? "No values." : `Median ${withUnit(picture.median, picture.unit)}.`,
    worst ? `Worst: ${worst.name}, ${valueText(worst.values, picture.unit)}.` : "",
    picture.limits.length > 0 ? `Limits: ${picture.limits.map((limit) => limit.label).join("; ")}.` : "",
    failing.length > 0
      ? `Failing: ${failing.slice(0, 10).join("; ")}${failing.length > 10 ? ` and ${failing.length - 10} more` : ""}.`
      : "",
  ]
    .filter(Boolean)
    .join(" ");
}
