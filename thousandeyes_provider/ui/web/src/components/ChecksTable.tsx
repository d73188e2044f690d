/** The checks of a run. */
import * as React from "react";
import { agentName, type Check } from "../model/evidence";
import { actualText, counted, expectedText, stateText, unitOfCheck, valueText } from "../model/format";
import { VerdictIcon } from "./basics";

const MAX_NAMED = 5;

export function ChecksTable({ checks }: { readonly checks: readonly Check[] }) {
  return (
    <div className="te-scroll">
      <table className="te-table te-stackable">
        <caption className="te-visually-hidden">Checks of this run</caption>
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Check</th>
            <th scope="col">Expected</th>
            <th scope="col">Actual</th>
            <th scope="col">Agents</th>
          </tr>
        </thead>
        <tbody>
          {checks.map((check, index) => (
            <tr key={index}>
              <td className="te-fit">
                <CheckState check={check} />
              </td>
              <th scope="row">
                {check.metric} <span className="te-muted">{check.aggregate}</span>
                <div className="te-row-meta">{check.resultType}</div>
              </th>
              <td data-label="Expected" className="te-num">
                {expectedText(check)}
              </td>
              <td data-label="Actual" className="te-num">
                {actualText(check)}
              </td>
              <td data-label="Agents">{agentsText(check)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function CheckState({ check }: { readonly check: Check }) {
  const tone = check.passed ? "passed" : check.warnOnly ? "incomplete" : "failed";
  return (
    <span className={`te-badge te-badge-plain te-tone-${tone}`}>
      <VerdictIcon verdict={check.passed ? "passed" : check.warnOnly ? "error" : "failed"} />
      {stateText(check)}
    </span>
  );
}

function agentsText(check: Check): string {
  const unit = unitOfCheck(check);
  const parts = [];
  if (check.failingAgents.length > 0) {
    const names = check.failingAgents.slice(0, MAX_NAMED).map((agent) => {
      const before = agent.before === undefined ? "" : `, before ${valueText(agent.before, unit)}`;
      return `${agentName(agent)} (${valueText(agent.actual, unit)}${before})`;
    });
    parts.push(listText(names, check.failingCount));
  }
  if (check.withoutMetric.length > 0) {
    parts.push(
      `no value: ${listText(check.withoutMetric.slice(0, MAX_NAMED).map(agentName), check.withoutMetricCount)}`,
    );
  }
  return parts.join("; ") || (check.agents > 0 ? counted(check.agents, "agent") : "");
}

function listText(names: readonly string[], count: number): string {
  const more = count - names.length;
  return names.join("; ") + (more > 0 ? ` and ${more} more` : "");
}
