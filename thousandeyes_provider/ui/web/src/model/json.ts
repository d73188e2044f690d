/** Readers of JSON that nothing is known of: evidence may be old, cut, or written by something else. */

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function asText(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

export function asNumber(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Beyond this, a number is no measurement, and no picture can be drawn of it. */
const MAX_MEASURE = 1e15;

export function asMeasure(value: unknown): number | null {
  const number = asNumber(value);
  return number === null || Math.abs(number) > MAX_MEASURE ? null : number;
}

export function asCount(value: unknown): number {
  return Math.max(0, Math.round(asNumber(value) ?? 0));
}

/** Milliseconds since the epoch of an ISO time; `null` when it is none. */
export function asTime(value: unknown): number | null {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isFinite(time) ? time : null;
}

/** The own properties of an object; the prototype is never read. */
export function entriesOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}

/** A value of XCom: Airflow's REST API returns it as the JSON text that is stored, or parsed. */
export function parseXCom(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** An address that a link may lead to: `http` and `https` only; `null` for anything else. */
export function safeUrl(value: unknown): string | null {
  if (typeof value !== "string") return null;
  try {
    const url = new URL(value);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
