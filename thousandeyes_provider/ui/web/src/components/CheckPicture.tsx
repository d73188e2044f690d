/** A small chart for a row: the compared value of a check and its limit. */
import * as React from "react";
import type { Check } from "../model/evidence";
import { countsAgents, unitOfCheck, withUnit } from "../model/format";
import { asNumber } from "../model/json";
import { domainOfValues, limitsOf } from "../model/picture";
import type { Strip } from "../model/suite";
import { scaleOf } from "./DotPlot";

const WIDTH = 120;
const HEIGHT = 18;
const MAX_DOTS = 60;

/** The data of the chart: the share of agents that pass the check, or its value and limit. */
export function measureOf(
  check: Check,
): { readonly actual: number; readonly limit: number; readonly max: number } | null {
  const actual = asNumber(check.actual);
  if (actual === null) return null;
  if (countsAgents(check)) {
    if (check.agents <= 0) return null;
    return { actual, limit: check.needed ?? check.agents, max: check.agents };
  }
  const limit = limitsOf(check, unitOfCheck(check))[0];
  if (!limit) return null;
  return {
    actual,
    limit: limit.value,
    max: domainOfValues([0, actual, limit.value], unitOfCheck(check)).high,
  };
}

/** The agents of a test as dots on a line, with the limit. */
export function StripPicture({ strip }: { readonly strip: Strip }) {
  const domain = domainOfValues([...strip.values, ...strip.failing, strip.limit], strip.unit);
  const scale = scaleOf(domain, 5, WIDTH - 5);
  const step = Math.max(1, Math.ceil(strip.values.length / MAX_DOTS));
  const values = strip.values.filter((_, index) => index % step === 0);
  return (
    <svg className="te-svg" width={WIDTH} height={HEIGHT} aria-hidden="true" focusable="false">
      <title>{`${strip.values.length + strip.failing.length} values, limit ${withUnit(strip.limit, strip.unit)}`}</title>
      <line x1="1" x2={WIDTH - 1} y1={HEIGHT / 2} y2={HEIGHT / 2} className="te-grid-line" />
      {values.map((value, index) => (
        <circle key={index} cx={scale(value)} cy={HEIGHT / 2} r="3.5" className="te-dot" fillOpacity="0.6" />
      ))}
      {strip.failing.slice(0, MAX_DOTS).map((value, index) => (
        <rect
          key={index}
          x={scale(value) - 3.5}
          y={HEIGHT / 2 - 3.5}
          width="7"
          height="7"
          transform={`rotate(45 ${scale(value)} ${HEIGHT / 2})`}
          className="te-dot te-dot-bad"
        />
      ))}
      <line
        x1={scale(strip.limit)}
        x2={scale(strip.limit)}
        y1="1"
        y2={HEIGHT - 1}
        stroke="var(--te-text)"
        strokeWidth="2"
      />
    </svg>
  );
}

export function CheckPicture({ check }: { readonly check: Check }) {
  const measure = measureOf(check);
  if (measure === null || measure.max <= 0 || measure.actual < 0 || measure.limit < 0) return null;
  const x = (value: number) => 1 + (Math.min(value, measure.max) / measure.max) * (WIDTH - 2);
  const tone = check.passed ? "var(--te-dot)" : check.warnOnly ? "var(--te-incomplete)" : "var(--te-failed)";
  const unit = unitOfCheck(check);
  return (
    <svg className="te-svg" width={WIDTH} height={HEIGHT} aria-hidden="true" focusable="false">
      <title>{`actual ${withUnit(measure.actual, unit)}, limit ${withUnit(measure.limit, unit)}`}</title>
      <rect x="1" y="5" width={WIDTH - 2} height="8" rx="4" fill="var(--te-subtle)" />
      <rect x="1" y="5" width={Math.max(x(measure.actual) - 1, 2)} height="8" rx="4" fill={tone} />
      <line
        x1={x(measure.limit)}
        x2={x(measure.limit)}
        y1="1"
        y2="17"
        stroke="var(--te-text)"
        strokeWidth="2"
      />
    </svg>
  );
}
