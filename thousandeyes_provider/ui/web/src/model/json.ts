/** Readers of untrusted JSON: evidence may be old, shortened, or written by other code. */

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

/** Largest number that counts as a measurement and can be drawn. */
const MAX_MEASURE = 1e15;

export function asMeasure(value: unknown): number | null {
  const number = asNumber(value);
  return number === null || Math.abs(number) > MAX_MEASURE ? null : number;
}

export function asCount(value: unknown): number {
  return Math.max(0, Math.round(asNumber(value) ?? 0));
}

/** Milliseconds since the epoch of an ISO time; `null` for any other value. */
export function asTime(value: unknown): number | null {
  const time = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isFinite(time) ? time : null;
}

/** The own properties of an object, without those of the prototype. */
export function entriesOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}

/** The value of an XCom. Airflow's REST API returns it parsed, or as the stored JSON text. */
export function parseXCom(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** An address that a link may use: `http` or `https`; `null` for any other address. */
export function safeUrl(value: unknown): string | null {
  if (typeof value !== "string") return null;
  try {
    const url = new URL(value);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
