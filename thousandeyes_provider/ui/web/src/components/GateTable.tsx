/** The tests of a gate, one row per test, with sorting, filters and search. */
import * as React from "react";
import type { Verdict } from "../model/evidence";
import { actualText, counted, expectedText, VERDICT_NAMES } from "../model/format";
import {
  filterRows,
  SEVERITY,
  countVerdicts,
  sortRows,
  type GateRow,
  type SortKey,
  type Sorting,
} from "../model/suite";
import { ExternalLink, VerdictBadge, VerdictIcon } from "./basics";
import { CheckPicture, StripPicture } from "./CheckPicture";

const COLUMNS: readonly (readonly [SortKey, string])[] = [
  ["verdict", "Verdict"],
  ["test", "Test"],
  ["agent", "Worst agent"],
  ["check", "Worst check"],
];

export interface RowLinks {
  readonly report: string;
  readonly trend: string;
}

export interface GateTableProps {
  readonly rows: readonly GateRow[];
  /** The pages of a row; `null` without pages, as in a file. */
  readonly linksOf: (row: GateRow) => RowLinks | null;
  readonly Link: React.ComponentType<{ readonly href: string; readonly children: React.ReactNode }>;
}

export function GateTable({ rows, linksOf, Link }: GateTableProps) {
  const [sorting, setSorting] = React.useState<Sorting>({ key: "verdict", descending: false });
  const [search, setSearch] = React.useState("");
  const [verdicts, setVerdicts] = React.useState<ReadonlySet<Verdict>>(new Set());
  // The table is updated with low priority, so that typing stays responsive.
  const words = React.useDeferredValue(search);
  const shown = React.useMemo(
    () => sortRows(filterRows(rows, words, verdicts), sorting),
    [rows, words, verdicts, sorting],
  );
  const counts = React.useMemo(() => countVerdicts(rows), [rows]);
  const hasChecks = React.useMemo(() => rows.some((row) => row.worstCheck !== null), [rows]);
  const toggle = (verdict: Verdict) => {
    const next = new Set(verdicts);
    if (!next.delete(verdict)) next.add(verdict);
    setVerdicts(next);
  };
  return (
    <>
      <div className="te-tools">
        <input
          className="te-input"
          type="search"
          aria-label="Search tests, agents and checks"
          placeholder="Search tests, agents and checks"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        {SEVERITY.filter((verdict) => counts.has(verdict)).map((verdict) => (
          <button
            key={verdict}
            type="button"
            className={`te-chip te-tone-${verdict}`}
            aria-pressed={verdicts.has(verdict)}
            onClick={() => toggle(verdict)}
          >
            <VerdictIcon verdict={verdict} />
            {VERDICT_NAMES[verdict]} {counts.get(verdict)}
          </button>
        ))}
        <span className="te-muted te-small" role="status">
          {shown.length === rows.length
            ? counted(rows.length, "test")
            : `${shown.length} of ${rows.length} tests`}
        </span>
      </div>
      <Rows
        rows={shown}
        hasChecks={hasChecks}
        sorting={sorting}
        onSort={setSorting}
        linksOf={linksOf}
        Link={Link}
      />
      {shown.length === 0 ? <p className="te-body te-muted">No test matches.</p> : null}
    </>
  );
}

interface RowsProps extends GateTableProps {
  /** Whether any test of the gate has checks. Otherwise their columns are hidden. */
  readonly hasChecks: boolean;
  readonly sorting: Sorting;
  readonly onSort: (sorting: Sorting) => void;
}

const Rows = React.memo(function Rows({ rows, hasChecks, sorting, onSort, linksOf, Link }: RowsProps) {
  return (
    <div className="te-scroll">
      <table className="te-table te-gate-table te-stackable">
        <caption className="te-visually-hidden">Tests of this gate</caption>
        <thead>
          <tr>
            {COLUMNS.filter(([key]) => hasChecks || key !== "check").map(([key, name]) => (
              <th
                key={key}
                scope="col"
                aria-sort={sorting.key === key ? (sorting.descending ? "descending" : "ascending") : "none"}
              >
                <button
                  type="button"
                  className="te-sort"
                  onClick={() => onSort({ key, descending: sorting.key === key && !sorting.descending })}
                >
                  {name}
                  <span aria-hidden="true">
                    {sorting.key === key ? (sorting.descending ? " ▾" : " ▴") : " \u00a0"}
                  </span>
                </button>
              </th>
            ))}
            {hasChecks ? <th scope="col">Actual and limit</th> : null}
            <th scope="col">Links</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={row.key} row={row} hasChecks={hasChecks} links={linksOf(row)} Link={Link} />
          ))}
        </tbody>
      </table>
    </div>
  );
});

interface RowProps {
  readonly row: GateRow;
  readonly hasChecks: boolean;
  readonly links: RowLinks | null;
  readonly Link: GateTableProps["Link"];
}

function Row({ row, hasChecks, links, Link }: RowProps) {
  const name = row.testName || `Test ${row.testId}`;
  const check = row.worstCheck;
  return (
    <tr>
      <td className="te-fit">
        <VerdictBadge verdict={row.verdict} plain />
      </td>
      <th scope="row">
        {links ? <Link href={links.report}>{name}</Link> : name}
        <span className="te-row-meta te-inline">
          {row.testType} {row.testId}
          {row.blocking ? "" : " · non-blocking"}
        </span>
      </th>
      <td data-label="Worst agent">
        {row.worstAgent ? (
          <>
            {row.worstAgent}
            {row.worstReason ? (
              <div className="te-row-meta te-clamp" title={row.worstReason}>
                {row.worstReason}
              </div>
            ) : null}
          </>
        ) : null}
      </td>
      {hasChecks ? (
        <>
          <td data-label="Worst check" className="te-num te-check">
            {check ? (
              <>
                {check.metric}{" "}
                <span className="te-muted">
                  {check.aggregate} {expectedText(check)}
                </span>
                <div className="te-row-meta">{actualText(check)}</div>
              </>
            ) : null}
          </td>
          <td>
            {row.strip ? <StripPicture strip={row.strip} /> : check ? <CheckPicture check={check} /> : null}
          </td>
        </>
      ) : null}
      <td className="te-fit te-small">
        {links ? <Link href={links.trend}>Trend</Link> : null}
        {links && row.link ? " · " : null}
        {row.link ? <ExternalLink href={row.link}>Round</ExternalLink> : null}
      </td>
    </tr>
  );
}
