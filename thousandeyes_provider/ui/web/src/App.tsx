/** The pages in Airflow: selects the page of an address and reads its data. */
import * as React from "react";
import { readGate, readGates, readRun, readTrend, EVIDENCE_KEY } from "./api/airflow";
import type { Gate, GateProgress, RunReport as Report } from "./api/airflow";
import { Api, ApiError, xcomUrl } from "./api/client";
import { ErrorBoundary, Message } from "./components/basics";
import type { RowLinks } from "./components/GateTable";
import { runName } from "./model/format";
import {
  pageUrl,
  parsePlace,
  runUrl,
  taskUrl,
  type HostParameters,
  type Place,
  type TaskPlace,
} from "./model/location";
import type { GateRow } from "./model/suite";
import type { TrendRun } from "./model/trend";
import { GateReport } from "./pages/GateReport";
import { GatesReport } from "./pages/GatesReport";
import { RunReport } from "./pages/RunReport";
import { TrendReport } from "./pages/TrendReport";

const POLL_INTERVAL = 10_000;

const Navigation = React.createContext<(href: string) => void>(() => undefined);

/** A link to another report page. It does not reload Airflow's interface. */
function PageLink({ href, children }: { readonly href: string; readonly children: React.ReactNode }) {
  const navigate = React.useContext(Navigation);
  return (
    <a
      href={href}
      onClick={(event) => {
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        navigate(href);
      }}
    >
      {children}
    </a>
  );
}

export function App({ dagId, runId, taskId, mapIndex }: HostParameters) {
  const [search, setSearch] = React.useState(() => globalThis.location.search);
  const root = React.useRef<HTMLDivElement | null>(null);
  React.useEffect(() => {
    const follow = () => setSearch(globalThis.location.search);
    globalThis.addEventListener("popstate", follow);
    return () => globalThis.removeEventListener("popstate", follow);
  }, []);
  const navigate = React.useCallback((href: string) => {
    const url = new URL(href, document.baseURI);
    // Airflow's router stores its position in the history state.
    history.pushState(history.state, "", url);
    setSearch(url.search);
    root.current?.scrollTo(0, 0);
    root.current?.focus();
  }, []);
  const place = React.useMemo(
    () => parsePlace(search, { dagId, runId, taskId, mapIndex }),
    [search, dagId, runId, taskId, mapIndex],
  );
  return (
    <Navigation.Provider value={navigate}>
      <div className="te-root" ref={root} tabIndex={-1}>
        <main className="te-page te-stack">
          <Crumbs place={place} />
          <ErrorBoundary
            key={pageUrl({ ...place, ...(place.page === "trend" ? { metric: "" } : {}) } as Place)}
          >
            <Page place={place} />
          </ErrorBoundary>
        </main>
      </div>
    </Navigation.Provider>
  );
}

function Page({ place }: { readonly place: Place }) {
  switch (place.page) {
    case "gates":
      return <GatesPage />;
    case "gate":
      return <GatePage dagId={place.dagId} runId={place.runId} />;
    case "run":
      return <RunPage task={place} />;
    case "trend":
      return <TrendPage task={place} metric={place.metric} />;
  }
}

function Crumbs({ place }: { readonly place: Place }) {
  const items: (readonly [string, string | null])[] = [
    ["ThousandEyes", place.page === "gates" ? null : pageUrl({ page: "gates" })],
  ];
  if (place.page !== "gates") {
    const gate = place.runId ? pageUrl({ page: "gate", dagId: place.dagId, runId: place.runId }) : null;
    items.push([
      place.runId ? `${place.dagId} · ${runName(place.runId)}` : place.dagId,
      place.page === "gate" ? null : gate,
    ]);
  }
  if (place.page === "run" || place.page === "trend") {
    const name = place.mapIndex >= 0 ? `${place.taskId} [${place.mapIndex}]` : place.taskId;
    items.push([name, place.page === "trend" && place.runId ? pageUrl({ ...place, page: "run" }) : null]);
  }
  if (place.page === "trend") items.push(["Trend", null]);
  return (
    <nav aria-label="ThousandEyes pages">
      <ul className="te-crumbs">
        {items.map(([name, href]) => (
          <li key={name}>
            {href ? <PageLink href={href}>{name}</PageLink> : <span aria-current="page">{name}</span>}
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** Run a data reader and report its errors. The reader is aborted when the page is left. */
function useReading(
  read: (api: Api) => Promise<void>,
  dependencies: readonly unknown[],
): { readonly error: string | null; readonly isReading: boolean } {
  const [error, setError] = React.useState<string | null>(null);
  const [isReading, setReading] = React.useState(true);
  React.useEffect(() => {
    const controller = new AbortController();
    read(new Api(controller.signal))
      .then(() => setError(null))
      .catch((reason: unknown) => {
        if (controller.signal.aborted) return;
        setError(
          reason instanceof ApiError
            ? reason.message
            : "This page cannot be rendered from the data in Airflow.",
        );
        if (!(reason instanceof ApiError)) console.error(reason);
      })
      .finally(() => {
        if (!controller.signal.aborted) setReading(false);
      });
    return () => controller.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `read` changes with each rendering; the caller passes the dependencies.
  }, dependencies);
  return { error, isReading };
}

function RunPage({ task }: { readonly task: TaskPlace }) {
  const [report, setReport] = React.useState<Report | null>(null);
  const [round, setRound] = React.useState(0);
  const { dagId, runId, taskId, mapIndex } = task;
  const { error } = useReading(
    async (api) => setReport(await readRun(api, task)),
    [dagId, runId, taskId, mapIndex, round],
  );
  const isPending = report?.kind === "none" && report.pending;
  React.useEffect(() => {
    if (!isPending) return undefined;
    const timer = setTimeout(() => setRound((value) => value + 1), POLL_INTERVAL);
    return () => clearTimeout(timer);
  }, [isPending, round]);
  if (error) return <Message>{error}</Message>;
  if (!report) return <Message busy>Loading the evidence…</Message>;
  const links = (
    <>
      <a href={taskUrl(task)}>Task log</a>
      <PageLink href={pageUrl({ ...task, page: "trend", metric: "" })}>Trend</PageLink>
      <PageLink href={pageUrl({ page: "gate", dagId, runId })}>All tests of this DAG run</PageLink>
    </>
  );
  switch (report.kind) {
    case "run":
      return <RunReport evidence={report.evidence} links={links} jsonAddress={xcomUrl(task, EVIDENCE_KEY)} />;
    case "suite":
      return (
        <GateReport
          title={`Suite ${taskId}`}
          rows={report.suite.rows}
          suites={[report.suite]}
          links={links}
          linksOf={(row) => rowLinks(row, dagId, runId)}
          Link={PageLink}
        />
      );
    case "none":
      return (
        <div className="te-notice te-stack">
          <h1>{report.pending ? "No verdict yet" : "No evidence"}</h1>
          <p role="status">
            {report.reason}{" "}
            {report.pending
              ? `The task is ${report.state.replaceAll("_", " ")}; this page refreshes every 10 seconds.`
              : report.state
                ? `The state of the task is "${report.state}". See the task log for the reason.`
                : "The task has not run."}
          </p>
          <div className="te-links">{links}</div>
        </div>
      );
  }
}

function rowLinks(row: GateRow, dagId: string, runId: string): RowLinks | null {
  if (row.taskId === null) return null;
  const task = { dagId, runId, taskId: row.taskId, mapIndex: row.mapIndex };
  return {
    report: pageUrl({ ...task, page: "run" }),
    trend: pageUrl({ ...task, page: "trend", metric: "" }),
  };
}

function GatePage({ dagId, runId }: { readonly dagId: string; readonly runId: string }) {
  const [progress, setProgress] = React.useState<GateProgress | null>(null);
  const { error, isReading } = useReading((api) => readGate(api, dagId, runId, setProgress), [dagId, runId]);
  const linksOf = React.useCallback((row: GateRow) => rowLinks(row, dagId, runId), [dagId, runId]);
  if (error) return <Message>{error}</Message>;
  if (!progress) return <Message busy>Loading the tests…</Message>;
  if (progress.total === 0) return <Message>This DAG run has no ThousandEyes results.</Message>;
  return (
    <GateReport
      title={dagId}
      rows={progress.rows}
      suites={progress.suites.map(({ suite }) => suite)}
      links={<a href={runUrl(dagId, runId)}>DAG run in Airflow</a>}
      linksOf={linksOf}
      Link={PageLink}
      {...(isReading ? { progress: `Loading: ${progress.loaded} of ${progress.total} tasks` } : {})}
    />
  );
}

function TrendPage({ task, metric }: { readonly task: TaskPlace; readonly metric: string }) {
  const navigate = React.useContext(Navigation);
  const [runs, setRuns] = React.useState<readonly TrendRun[] | null>(null);
  const [total, setTotal] = React.useState(0);
  const { error, isReading } = useReading(
    (api) =>
      readTrend(api, task, (read, all) => {
        setRuns(read);
        setTotal(all);
      }),
    [task.dagId, task.taskId, task.mapIndex],
  );
  if (error) return <Message>{error}</Message>;
  if (!runs) return <Message busy>Loading the last DAG runs…</Message>;
  const withEvidence = runs.filter((run) => run.evidence);
  const urlOf = (runId: string) => pageUrl({ ...task, page: "run", runId });
  const newest = withEvidence.at(0)?.evidence;
  return (
    <>
      <div>
        <h1>{newest?.testName || task.taskId}</h1>
        <p className="te-muted">
          Task {task.taskId}
          {task.mapIndex >= 0 ? ` [${task.mapIndex}]` : ""} of {task.dagId}
        </p>
      </div>
      {isReading ? <Message busy>{`Loading: ${runs.length} of ${total} DAG runs`}</Message> : null}
      {withEvidence.length === 0 ? (
        isReading ? null : (
          <Message>This task has no evidence in any DAG run yet.</Message>
        )
      ) : (
        <TrendReport
          runs={runs}
          metric={metric}
          onMetric={(name) => navigate(pageUrl({ ...task, page: "trend", metric: name }))}
          urlOf={urlOf}
          Link={PageLink}
          onOpen={(runId) => navigate(urlOf(runId))}
        />
      )}
    </>
  );
}

function GatesPage() {
  const [gates, setGates] = React.useState<readonly Gate[] | null>(null);
  const { error } = useReading((api) => readGates(api, setGates), []);
  if (error) return <Message>{error}</Message>;
  if (!gates) return <Message busy>Loading the newest gates…</Message>;
  return (
    <>
      <h1>ThousandEyes gates</h1>
      {gates.length === 0 ? (
        <Message>
          No DAG that you can read has ThousandEyes results yet. Results appear here after the first run of a
          ThousandEyes operator.
        </Message>
      ) : (
        <GatesReport
          gates={gates}
          urlOf={(gate) => pageUrl({ page: "gate", dagId: gate.dagId, runId: gate.runId })}
          Link={PageLink}
        />
      )}
    </>
  );
}
