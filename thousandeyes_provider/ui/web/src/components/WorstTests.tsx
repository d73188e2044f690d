/** The most frequent agents and reasons of tests that did not pass. */
import * as React from "react";
import { counted } from "../model/format";
import { mergePatterns, patternsOf, type GateRow } from "../model/suite";
import { Card } from "./basics";
import type { GateTableProps } from "./GateTable";

const MAX_PATTERNS = 5;

export function WorstTests({
  rows,
  linksOf,
  Link,
}: { readonly rows: readonly GateRow[] } & Pick<GateTableProps, "linksOf" | "Link">) {
  const patterns = mergePatterns(patternsOf(rows)).slice(0, MAX_PATTERNS);
  if (patterns.length === 0) return null;
  return (
    <Card title="Common failures">
      <ul className="te-failures te-failures-grid">
        {patterns.map(({ label, rows: affected }) => (
          <li key={label}>
            <strong>{label}</strong> <span className="te-muted">· {counted(affected.length, "test")}</span>
            <div className="te-row-meta">
              {affected.slice(0, 4).map((row, index) => {
                const links = linksOf(row);
                const name = row.testName || `Test ${row.testId}`;
                return (
                  <React.Fragment key={row.key}>
                    {index > 0 ? "; " : ""}
                    {links ? <Link href={links.report}>{name}</Link> : name}
                  </React.Fragment>
                );
              })}
              {affected.length > 4 ? ` and ${affected.length - 4} more` : ""}
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}
