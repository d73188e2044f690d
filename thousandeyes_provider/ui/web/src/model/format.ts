/** Formatting of numbers and checks. */
import UNITS from "../generated/units.json";
import type { Check, Verdict } from "./evidence";
import { asNumber, asText } from "./json";

const MINUS = "\u2212";

export const VERDICT_NAMES: Readonly<Record<Verdict, string>> = {
  passed: "Passed",
  failed: "Failed",
  incomplete: "Incomplete",
  no_results: "No results",
  error: "Error",
  unknown: "Unknown",
};

export const VERDICT_SENTENCES: Readonly<Record<Verdict, string>> = {
  passed: "The round is complete and every check passed.",
  failed: "The round was evaluated and failed.",
  incomplete: "Inconclusive: agents were missing at the deadline, so the round was not evaluated.",
  no_results: "Inconclusive: no new round arrived before the deadline.",
  error: "Inconclusive: requests to ThousandEyes failed.",
  unknown: "This version does not support the verdict in the evidence.",
};

/** Label of shadow mode next to a verdict. */
export const SHADOW_TEXT = "Shadow mode: this verdict does not fail the task";

export function unitOf(resultType: string, metric: string): string {
  const units: Readonly<Record<string, Readonly<Record<string, string>>>> = UNITS;
  const ofType = Object.hasOwn(units, resultType) ? units[resultType] : undefined;
  return ofType && Object.hasOwn(ofType, metric) ? (ofType[metric] ?? "") : "";
}

/** Format a number with at most four significant digits, in groups of three: `1,204`, `0.8123`. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "?";
  const size = Math.abs(value);
  if (size >= 1e12 || (size > 0 && size < 1e-4)) return value.toExponential(2).replace("-", MINUS);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits }).replace("-", MINUS);
}

export function withUnit(value: number, unit: string): string {
  return unit ? `${figure(value)}\u00a0${unit}` : figure(value);
}

/** Format a value of any type. A list has one value per row of the agent. */
export function valueText(value: unknown, unit = ""): string {
  if (Array.isArray(value)) return value.map((item) => valueText(item, unit)).join(" / ");
  const number = asNumber(value);
  if (number !== null) return withUnit(number, unit);
  return value === null || value === undefined ? "no value" : asText(value) || "no value";
}

export function percentText(fraction: number): string {
  return `${fraction > 0 ? "+" : ""}${figure(fraction * 100)}\u00a0%`;
}

/** Format a duration: `0.4 s`, `48 s`, `3 min 20 s`, `2 h 5 min`. */
export function durationText(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "?";
  if (seconds < 10) return `${Number(seconds.toFixed(1))}\u00a0s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}\u00a0s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}\u00a0min${whole % 60 ? ` ${whole % 60}\u00a0s` : ""}`;
  return `${Math.floor(minutes / 60)}\u00a0h${minutes % 60 ? ` ${minutes % 60}\u00a0min` : ""}`;
}

const SIGNS: Readonly<Record<string, string>> = {
  equal_to: "=",
  greater_than: ">",
  geq_to: "≥",
  less_than: "<",
  leq_to: "≤",
};
const OPTIONS = ["tolerance", "floor", "quorum", "where"];

/** The unit of the value that a check compares; empty for a count. */
export function unitOfCheck(check: Check): string {
  return check.aggregate === "count" ? "" : unitOf(check.resultType, check.metric);
}

/** Whether the actual value of a check is a number of agents: `every`, `any`, and any check with a quorum. */
export function countsAgents(check: Check): boolean {
  return check.needed !== null || check.aggregate === "every" || check.aggregate === "any";
}

/** The expectation of a check: `≤ 800 ms`, `change ≤ +20 %`. */
export function expectedText(check: Check): string {
  const unit = unitOfCheck(check);
  const terms = check.comparison
    .filter(([name]) => !OPTIONS.includes(name))
    .map(([name, value]) => termText(name, value, unit));
  const options = check.comparison
    .filter(([name]) => OPTIONS.includes(name))
    .map(([name, value]) => optionText(name, value, unit));
  return terms.join(" and ") + (options.length > 0 ? ` (${options.join(", ")})` : "");
}

function termText(name: string, value: unknown, unit: string): string {
  const number = asNumber(value);
  const sign = SIGNS[name];
  if (sign !== undefined) return `${sign} ${valueText(value, unit)}`;
  const bound = name.endsWith("leq_to") ? "≤" : "≥";
  if (name.startsWith("change_") && number !== null) return `change ${bound} ${percentText(number)}`;
  if (name.startsWith("delta_") && number !== null) {
    return `change ${bound} ${number > 0 ? "+" : ""}${withUnit(number, unit)}`;
  }
  const words = Array.isArray(value)
    ? value.map((item) => valueText(item, unit)).join(", ")
    : valueText(value);
  return `${name.replaceAll("_", " ")} ${words}`;
}

function optionText(name: string, value: unknown, unit: string): string {
  const number = asNumber(value);
  if (name === "floor" && number !== null) return `floor ${withUnit(number, unit)}`;
  if (number !== null) return `${name} ${figure(number * 100)}\u00a0%`;
  return name === "where" ? `where ${whereText(value)}` : `${name} ${valueText(value)}`;
}

function whereText(value: unknown): string {
  if (typeof value !== "object" || value === null) return valueText(value);
  return Object.entries(value)
    .map(
      ([field, choices]) =>
        `${field} ${Array.isArray(choices) ? choices.map(asText).join(" or ") : asText(choices)}`,
    )
    .join(" and ");
}

/** The result of a check: `912 ms`, `3 of 5 agents`. */
export function actualText(check: Check): string {
  if (check.actual === null || check.actual === undefined) return check.reason || "no value";
  if (countsAgents(check)) {
    // The row of a suite may omit the number of agents.
    if (check.agents <= 0) return counted(asNumber(check.actual) ?? 0, "agent");
    const agents = `${valueText(check.actual)} of ${check.agents} agents`;
    return check.needed === null || check.needed === check.agents
      ? agents
      : `${agents}, ${check.needed} needed`;
  }
  const unit = unitOfCheck(check);
  const actual = valueText(check.actual, unit);
  if (check.before === null) return actual;
  const change = check.change === null ? "" : `, ${percentText(check.change)}`;
  return `${actual} (before ${withUnit(check.before, unit)}${change})`;
}

export function checkName(check: Check): string {
  return `${check.metric} ${check.aggregate}`;
}

export function stateText(check: Check): string {
  if (check.passed) return "Passed";
  return check.warnOnly ? "Warning" : "Failed";
}

/** A headline without verdict and test, for places that show both separately. */
export function shortSummary(
  summary: string,
  test?: { readonly testType: string; readonly testId: string },
): string {
  const text = summary.replace(/^[A-Z][A-Z_ ]{2,20}: /, "");
  const end = test?.testId ? text.lastIndexOf(`. ${test.testType} test ${test.testId}`) : -1;
  return end > 0 ? text.slice(0, end) : text;
}

let regionNames: Intl.DisplayNames | null | undefined;

/** The name of a country, or its code if the name is unknown. */
export function countryName(code: string): string {
  if (!/^[A-Z]{2}$/.test(code)) return code || "Unknown country";
  regionNames ??= new Intl.DisplayNames(["en"], { type: "region" });
  return regionNames.of(code) ?? code;
}

/** Format a time in UTC, independent of the locale: `25 Nov 2026, 19:13:04 UTC`. */
export function timeText(time: number | null): string {
  if (time === null) return "unknown";
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "unknown";
  return `${date.toLocaleString("en-GB", {
    timeZone: "UTC",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  })} UTC`;
}

export function shortTimeText(time: number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "unknown";
  return date.toLocaleString("en-GB", {
    timeZone: "UTC",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });
}

const GENERATED_RUN_ID = /^([a-z_]+)__(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)/;

/** A readable id of a DAG run: `manual run, 2026-11-26 00:53:24 UTC` for an id that Airflow generated. */
export function runName(runId: string, { withTime = true } = {}): string {
  const [, kind, date, time] = GENERATED_RUN_ID.exec(runId) ?? [];
  if (kind === undefined) return runId;
  return `${kind.replaceAll("_", " ")} run${withTime ? `, ${date} ${time} UTC` : ""}`;
}

/** `1 agent`, `5 agents`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}
