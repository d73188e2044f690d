/** The agents of a run with their states. */
import { agentKey, agentName, type Agent, type FailedAgent, type RunEvidence } from "./evidence";

/** `failing`: a failed check names the agent. `error`: the measurement itself failed. */
export type AgentState = "ok" | "failing" | "error" | "missing";

export interface AgentStatus extends Agent {
  readonly key: string;
  readonly state: AgentState;
  readonly detail: string;
}

export interface CountryStatus {
  readonly country: string;
  readonly ok: number;
  readonly bad: number;
  readonly missing: number;
  readonly agents: readonly AgentStatus[];
}

export function agentStatuses(evidence: RunEvidence): readonly AgentStatus[] {
  const statuses = new Map<string, AgentStatus>();
  const add = (agent: Agent, state: AgentState, detail: string) => {
    const key = agentKey(agent);
    const known = statuses.get(key);
    statuses.set(key, {
      key,
      id: agent.id || (known?.id ?? ""),
      name: agent.name || (known?.name ?? ""),
      country: agent.country || (known?.country ?? ""),
      state: known && known.state !== "ok" ? known.state : state,
      detail: known && known.state !== "ok" ? known.detail : detail,
    });
  };
  // The first state other than "ok" is kept.
  for (const agent of evidence.failedAgents) add(agent, "error", agent.errors.join("; ") || "error");
  for (const agent of evidence.missing) add(agent, "missing", missingText(agent.state, agent.missingRows));
  for (const check of evidence.checks) {
    if (check.passed || check.warnOnly) continue;
    for (const agent of check.failingAgents) add(agent, "failing", `${check.metric} ${check.aggregate}`);
    for (const agent of check.withoutMetric) add(agent, "failing", `no ${check.metric}`);
  }
  for (const agent of evidence.reported) add(agent, "ok", "");
  return [...statuses.values()];
}

/** The error of an agent: the message of the failed step, or else its first error of a result type. */
export function failureText({ errors, step }: FailedAgent, resultType: string): string {
  if (step?.message) return step.message;
  const prefix = `${resultType}: `;
  const error = errors.find((text) => text.startsWith(prefix)) ?? errors[0] ?? "error";
  return error.startsWith(prefix) ? error.slice(prefix.length) : error;
}

export function missingText(state: string, missingRows: string): string {
  const results = missingRows ? `results are not complete: ${missingRows}` : "did not report";
  return [results, state && `agent ${state}`].filter(Boolean).join(", ");
}

export function isBad(state: AgentState): boolean {
  return state === "failing" || state === "error";
}

/** Countries; those with bad and missing agents come first. */
export function byCountry(agents: readonly AgentStatus[]): readonly CountryStatus[] {
  const groups = new Map<string, AgentStatus[]>();
  for (const agent of agents) {
    groups.set(agent.country, [...(groups.get(agent.country) ?? []), agent]);
  }
  return [...groups]
    .map(([country, members]) => ({
      country,
      ok: members.filter(({ state }) => state === "ok").length,
      bad: members.filter(({ state }) => isBad(state)).length,
      missing: members.filter(({ state }) => state === "missing").length,
      agents: members,
    }))
    .sort(
      (left, right) =>
        right.bad - left.bad ||
        right.missing - left.missing ||
        right.ok - left.ok ||
        (left.country < right.country ? -1 : 1),
    );
}

/** The names of agents by their keys in the samples. */
export function agentNames(evidence: RunEvidence): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const lists: readonly (readonly Agent[])[] = [
    evidence.expected,
    evidence.reported,
    evidence.missing,
    evidence.failedAgents,
    ...evidence.checks.flatMap((check) => [check.failingAgents, check.withoutMetric]),
  ];
  for (const agent of lists.flat()) {
    if (agentKey(agent) && agent.name) names.set(agentKey(agent), agentName(agent));
  }
  return names;
}
