/** The report of a run: one test and all its agents. */
import * as React from "react";
import {
  CutNotice,
  Card,
  ExternalLink,
  Facts,
  RawEvidence,
  VerdictBadge,
  type Fact,
} from "../components/basics";
import { ChecksTable } from "../components/ChecksTable";
import { DotPlot } from "../components/DotPlot";
import { Timeline } from "../components/Timeline";
import { WorldMap } from "../components/WorldMap";
import { agentStatuses, byCountry, isBad, missingText } from "../model/agents";
import { agentName, type FailedAgent, type MissingAgent, type RunEvidence } from "../model/evidence";
import {
  counted,
  countryName,
  durationText,
  SHADOW_TEXT,
  shortSummary,
  timeText,
  VERDICT_SENTENCES,
  withUnit,
} from "../model/format";
import { picturesOf, type MetricPicture } from "../model/picture";

const MAX_PICTURES = 6;
const MAX_LISTED = 20;

const LINK_NAMES: Readonly<Record<string, string>> = {
  round: "Round in ThousandEyes",
  test: "Test in ThousandEyes",
  snapshot: "Snapshot",
};

export interface RunReportProps {
  readonly evidence: RunEvidence;
  /** Links within Airflow. */
  readonly links?: React.ReactNode;
  readonly jsonAddress?: string;
}

export function RunReport({ evidence, links, jsonAddress }: RunReportProps) {
  const agents = React.useMemo(() => agentStatuses(evidence), [evidence]);
  const pictures = React.useMemo(() => picturesOf(evidence), [evidence]);
  const judged = pictures.filter((picture) => picture.judged);
  const shown = judged.length > 0 ? judged : pictures.slice(0, MAX_PICTURES);
  const others = pictures.filter((picture) => !shown.includes(picture));
  const isHealthy = evidence.failedAgents.length === 0 && evidence.missing.length === 0;
  return (
    <>
      <Banner evidence={evidence} links={links} />
      <CutNotice cut={evidence.cut} />
      {shown.length > 0 ? (
        <div className={`te-columns ${shown.length > 1 ? "te-columns-2" : ""}`}>
          {shown.map((picture) => (
            <PictureCard key={picture.key} picture={picture} />
          ))}
        </div>
      ) : (
        <p className="te-notice">The evidence contains no measured values.</p>
      )}
      <BaselineNote evidence={evidence} />
      {isHealthy ? null : <Failures evidence={evidence} />}
      {evidence.checks.length > 0 ? (
        <Card title="Checks" note={checksNote(evidence)} flush>
          <ChecksTable checks={evidence.checks} />
        </Card>
      ) : null}
      {others.length > 0 ? <OtherPictures pictures={others} /> : null}
      {agents.length > 0 ? (
        <Card title="Agents by country" note={countriesNote(agents.length, byCountry(agents).length)}>
          <WorldMap agents={agents} />
        </Card>
      ) : null}
      <Card title="Wait for results" note={`started ${timeText(evidence.startedAt)}`}>
        <Timeline evidence={evidence} />
      </Card>
      <RawEvidence value={evidence.raw} {...(jsonAddress ? { address: jsonAddress } : {})} />
    </>
  );
}

function countriesNote(agents: number, countries: number): string {
  return `${counted(agents, "agent")} in ${countries} ${countries === 1 ? "country" : "countries"}`;
}

function checksNote(evidence: RunEvidence): string {
  const passed = evidence.checks.filter((check) => check.passed).length;
  return `${passed} of ${evidence.checks.length} passed`;
}

/** The headline without verdict and test, which the page shows separately. */
export function headlineOf(evidence: RunEvidence): string {
  return shortSummary(evidence.summary, evidence) || VERDICT_SENTENCES[evidence.verdict];
}

function Banner({ evidence, links }: { readonly evidence: RunEvidence; readonly links: React.ReactNode }) {
  const seconds =
    evidence.finishedAt !== null && (evidence.sentAt ?? evidence.startedAt) !== null
      ? (evidence.finishedAt - (evidence.sentAt ?? evidence.startedAt ?? 0)) / 1000
      : null;
  const expected = evidence.expectedCount === null ? "" : ` of ${evidence.expectedCount}`;
  const bad = agentStatuses(evidence).filter(({ state }) => isBad(state)).length;
  // The evidence of a round that was not evaluated has no checks, declared or not.
  const isJudged = evidence.verdict === "passed" || evidence.verdict === "failed";
  const facts: Fact[] = [
    { name: "Agents reported", value: `${evidence.reportedCount}${expected}` },
    { name: "Failing agents", value: String(bad) },
    {
      name: "Checks passed",
      value:
        evidence.checks.length > 0
          ? `${evidence.checks.filter((check) => check.passed).length} of ${evidence.checks.length}`
          : isJudged
            ? "none declared"
            : "not evaluated",
    },
    { name: "Duration", value: seconds === null ? "unknown" : durationText(Math.max(0, seconds)) },
    { name: "Finished", value: timeText(evidence.finishedAt) },
    { name: "Account group", value: evidence.accountGroupId || "default" },
  ];
  return (
    <div className={`te-banner te-tone-${evidence.verdict}`}>
      <div className="te-banner-head">
        <VerdictBadge verdict={evidence.verdict} />
        <h1>{evidence.testName || `Test ${evidence.testId}`}</h1>
        <span className="te-muted">
          {evidence.testType} test {evidence.testId}
        </span>
      </div>
      <p className="te-headline">{headlineOf(evidence)}</p>
      {evidence.shadow ? <p className="te-muted">{SHADOW_TEXT}</p> : null}
      {evidence.reason ? <p className="te-headline te-muted">{evidence.reason}</p> : null}
      <Facts facts={facts} />
      <div className="te-links">
        {evidence.links.map(([name, href]) => (
          <ExternalLink key={name} href={href}>
            {LINK_NAMES[name] ?? name}
          </ExternalLink>
        ))}
        {links}
      </div>
    </div>
  );
}

function Failures({ evidence }: { readonly evidence: RunEvidence }) {
  const [isWhole, setWhole] = React.useState(false);
  const total = evidence.failedAgents.length + evidence.missing.length;
  const most = isWhole ? total : MAX_LISTED;
  const failed = evidence.failedAgents.slice(0, most);
  const missing = evidence.missing.slice(0, Math.max(most - failed.length, 0));
  return (
    <Card
      title="Agents with errors and missing agents"
      note={`${counted(evidence.failedAgents.length, "agent")} with an error, ${evidence.allowedErrors} allowed; ${evidence.missingCount} missing`}
    >
      <ul className="te-failures">
        {failed.map((agent, index) => (
          <FailedItem key={`${agent.id} ${index}`} agent={agent} />
        ))}
        {missing.map((agent, index) => (
          <MissingItem key={`${agent.id} ${index}`} agent={agent} />
        ))}
      </ul>
      {total > MAX_LISTED ? (
        <p style={{ marginTop: 10 }}>
          <button
            type="button"
            className="te-button"
            onClick={() => setWhole(!isWhole)}
            aria-expanded={isWhole}
          >
            {isWhole ? "Show fewer" : `Show all ${total}`}
          </button>
        </p>
      ) : null}
    </Card>
  );
}

function FailedItem({ agent }: { readonly agent: FailedAgent }) {
  return (
    <li>
      <strong>{agentName(agent)}</strong>
      {agent.country ? <span className="te-muted"> · {countryName(agent.country)}</span> : null}
      <div>{agent.errors.join("; ") || "error"}</div>
      {agent.step ? (
        <div className="te-row-meta">
          Failed {agent.step.kind.replaceAll("_", " ") || "step"}:{" "}
          <strong>{agent.step.name || "unnamed"}</strong>
          {agent.step.message ? `: ${agent.step.message}` : ""}
          {agent.step.details.map(([name, value]) => ` · ${name}: ${value}`)}
          {agent.step.console.map((line, index) => (
            <div key={index}>Console: {line}</div>
          ))}
        </div>
      ) : null}
    </li>
  );
}

function MissingItem({ agent }: { readonly agent: MissingAgent }) {
  return (
    <li className="te-is-missing">
      <strong>{agentName(agent)}</strong>
      {agent.country ? <span className="te-muted"> · {countryName(agent.country)}</span> : null}
      <div>{missingText(agent.state, agent.missingRows)}</div>
    </li>
  );
}

function PictureCard({ picture }: { readonly picture: MetricPicture }) {
  const parts = [
    picture.median === null ? "" : `median ${withUnit(picture.median, picture.unit)}`,
    picture.baselineMedian === null ? "" : `baseline ${withUnit(picture.baselineMedian, picture.unit)}`,
  ];
  return (
    <Card title={`${picture.metric}`} note={[picture.resultType, ...parts].filter(Boolean).join(" · ")}>
      <DotPlot picture={picture} />
    </Card>
  );
}

function OtherPictures({ pictures }: { readonly pictures: readonly MetricPicture[] }) {
  const [isOpen, setOpen] = React.useState(false);
  return (
    <details className="te-details" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{counted(pictures.length, "more metric")} without checks</summary>
      {isOpen ? (
        <div className="te-columns te-columns-2">
          {pictures.map((picture) => (
            <PictureCard key={picture.key} picture={picture} />
          ))}
        </div>
      ) : null}
    </details>
  );
}

function BaselineNote({ evidence }: { readonly evidence: RunEvidence }) {
  const { baseline } = evidence;
  if (baseline === null) return null;
  return (
    <p className="te-muted te-small">
      Baseline: {baseline.source || "unknown"}
      {baseline.reason ? `. Not used: ${baseline.reason}` : ""}
      {!baseline.reason && baseline.samples.size === 0 ? ". Its values are not part of the evidence" : ""}.
    </p>
  );
}
