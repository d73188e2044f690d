/** A map of the agents with a circle per country, sized by the number of agents and colored by state. */
import * as React from "react";
import { COUNTRY_POINTS, LAND, MAP_BOX } from "../generated/land";
import { agentName } from "../model/evidence";
import { byCountry, isBad, type AgentStatus, type CountryStatus } from "../model/agents";
import { counted, countryName } from "../model/format";

const MAX_COUNTRIES = 8;

function toneOf(country: CountryStatus): string {
  if (country.bad > 0) return "var(--te-failed)";
  return country.missing > 0 ? "var(--te-incomplete)" : "var(--te-passed)";
}

export function countryText(country: CountryStatus): string {
  const parts = [
    country.bad > 0 ? `${country.bad} failing` : "",
    country.missing > 0 ? `${country.missing} missing` : "",
    country.ok > 0 ? `${country.ok} ok` : "",
  ];
  return parts.filter(Boolean).join(", ");
}

function pointOf(code: string): readonly [number, number] | undefined {
  return Object.hasOwn(COUNTRY_POINTS, code) ? COUNTRY_POINTS[code] : undefined;
}

export function WorldMap({ agents }: { readonly agents: readonly AgentStatus[] }) {
  const countries = byCountry(agents);
  const placed = countries.filter(({ country }) => pointOf(country));
  const label = countries
    .map((country) => `${countryName(country.country)}: ${countryText(country)}`)
    .slice(0, 12)
    .join("; ");
  return (
    <div className="te-columns te-columns-map">
      {placed.length > 0 ? (
        <svg
          className="te-svg"
          viewBox={MAP_BOX.join(" ")}
          width="100%"
          role="img"
          aria-label={`Map of ${counted(agents.length, "agent")}. ${label}.`}
        >
          <path d={LAND} fill="var(--te-land)" />
          {/* The worst country is drawn last, on top. */}
          {spread(placed)
            .reverse()
            .map((place) => (
              <Place key={place.country.country} place={place} />
            ))}
        </svg>
      ) : (
        <p className="te-muted">The evidence does not say in which countries the agents are.</p>
      )}
      <CountryTable countries={countries} />
    </div>
  );
}

interface Placed {
  readonly country: CountryStatus;
  x: number;
  y: number;
  readonly radius: number;
}

/** Moves overlapping circles apart. The result is deterministic. */
export function spread(countries: readonly CountryStatus[]): Placed[] {
  const places: Placed[] = countries.map((country) => {
    const [x, y] = pointOf(country.country) ?? [0, 0];
    const total = country.ok + country.bad + country.missing;
    return { country, x, y, radius: Math.min(7.5 + Math.sqrt(total) * 1.5, 20) };
  });
  for (let round = 0; round < 40; round += 1) {
    for (const [index, first] of places.entries()) {
      for (const second of places.slice(index + 1)) {
        const dx = second.x - first.x || 0.1;
        const dy = second.y - first.y || 0.1;
        const distance = Math.hypot(dx, dy);
        const overlap = first.radius + second.radius + 1 - distance;
        if (overlap <= 0) continue;
        const shift = overlap / 2 / distance;
        first.x -= dx * shift;
        first.y -= dy * shift;
        second.x += dx * shift;
        second.y += dy * shift;
      }
    }
  }
  return places;
}

function Place({ place: { country, x, y, radius } }: { readonly place: Placed }) {
  const tone = toneOf(country);
  const hollow = country.bad === 0 && country.missing > 0;
  return (
    <g>
      <title>{`${countryName(country.country)}: ${countryText(country)}`}</title>
      {country.bad > 0 ? (
        <rect
          x={x - radius * 0.85}
          y={y - radius * 0.85}
          width={radius * 1.7}
          height={radius * 1.7}
          transform={`rotate(45 ${x} ${y})`}
          rx="3"
          fill={tone}
          stroke="var(--te-raised)"
          strokeWidth="1.5"
        />
      ) : (
        <circle
          cx={x}
          cy={y}
          r={radius}
          fill={hollow ? "var(--te-raised)" : tone}
          stroke={hollow ? tone : "var(--te-raised)"}
          strokeWidth={hollow ? 2.5 : 1.5}
          strokeDasharray={hollow ? "4 2.5" : undefined}
        />
      )}
      <text
        x={x}
        y={y + 3.5}
        textAnchor="middle"
        style={{ fill: hollow ? tone : "var(--te-raised)", fontWeight: 700, fontSize: 10 }}
      >
        {country.country}
      </text>
    </g>
  );
}

/** Countries with failing or missing agents have a row. The others share a row. */
function CountryTable({ countries }: { readonly countries: readonly CountryStatus[] }) {
  const [isWhole, setWhole] = React.useState(false);
  const bad = countries.filter((country) => country.bad > 0 || country.missing > 0);
  const good = countries.filter((country) => country.bad === 0 && country.missing === 0);
  const shown = isWhole ? bad : bad.slice(0, MAX_COUNTRIES);
  return (
    <div className="te-stack" style={{ gap: 8, alignContent: "start" }}>
      <table className="te-table">
        <caption className="te-visually-hidden">Agents by country, the worst first</caption>
        <thead>
          <tr>
            <th scope="col">Country</th>
            <th scope="col">Agents</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((country) => (
            <tr key={country.country}>
              <th scope="row">{countryName(country.country)}</th>
              <td>
                <span style={{ color: toneOf(country), fontWeight: 600 }}>{countryText(country)}</span>
                <BadNames country={country} />
              </td>
            </tr>
          ))}
          {good.length > 0 ? (
            <tr>
              <th scope="row">{bad.length > 0 ? "All agents ok" : "All countries"}</th>
              <td>
                <span style={{ color: "var(--te-passed)", fontWeight: 600 }}>
                  {good.reduce((sum, country) => sum + country.ok, 0)} ok
                </span>
                <div className="te-row-meta">
                  {good.map((country) => `${countryName(country.country)} ${country.ok}`).join("; ")}
                </div>
              </td>
            </tr>
          ) : null}
        </tbody>
      </table>
      {bad.length > MAX_COUNTRIES ? (
        <div>
          <button
            type="button"
            className="te-button"
            onClick={() => setWhole(!isWhole)}
            aria-expanded={isWhole}
          >
            {isWhole ? "Show fewer countries" : `Show all ${bad.length} countries`}
          </button>
        </div>
      ) : null}
    </div>
  );
}

function BadNames({ country }: { readonly country: CountryStatus }) {
  const names = country.agents
    .filter(({ state }) => isBad(state) || state === "missing")
    .map((agent) => agentName(agent));
  if (names.length === 0) return null;
  const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
  return <div className="te-row-meta">{`${names.slice(0, 3).join("; ")}${more}`}</div>;
}
