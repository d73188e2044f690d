/** The requested page, and the addresses of pages. All addresses are relative to that of Airflow. */

export interface TaskPlace {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly mapIndex: number;
}

export type Place =
  | { readonly page: "gates" }
  | { readonly page: "gate"; readonly dagId: string; readonly runId: string }
  | ({ readonly page: "run" } & TaskPlace)
  | ({ readonly page: "trend"; readonly metric: string } & TaskPlace);

const PAGE = "plugin/thousandeyes";

export interface HostParameters {
  readonly dagId?: string | undefined;
  readonly runId?: string | undefined;
  readonly taskId?: string | undefined;
  readonly mapIndex?: string | number | undefined;
}

/** The page of an address. Values that Airflow passes to the component replace missing parameters. */
export function parsePlace(search: string, host: HostParameters = {}): Place {
  const query = new URLSearchParams(search);
  const dagId = query.get("dag_id") || host.dagId || "";
  const runId = query.get("run_id") || host.runId || "";
  const taskId = query.get("task_id") || host.taskId || "";
  const index = query.get("map_index") ?? String(host.mapIndex ?? "-1");
  const mapIndex = /^\d+$/.test(index) ? Number(index) : -1;
  if (!dagId) return { page: "gates" };
  const task = { dagId, runId, taskId, mapIndex };
  if (taskId && query.get("view") === "trend") {
    return { page: "trend", ...task, metric: query.get("metric") ?? "" };
  }
  if (!runId) return { page: "gates" };
  return taskId ? { page: "run", ...task } : { page: "gate", dagId, runId };
}

/** The address of a page. It has no leading slash, so that it stays below Airflow's base path. */
export function pageUrl(place: Place): string {
  if (place.page === "gates") return PAGE;
  const query = new URLSearchParams({ dag_id: place.dagId });
  if (place.runId) query.set("run_id", place.runId);
  if (place.page !== "gate") {
    query.set("task_id", place.taskId);
    if (place.mapIndex >= 0) query.set("map_index", String(place.mapIndex));
  }
  if (place.page === "trend") {
    query.set("view", "trend");
    if (place.metric) query.set("metric", place.metric);
  }
  return `${PAGE}?${query}`;
}

export function runUrl(dagId: string, runId: string): string {
  return `dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`;
}

/** Airflow's own page of a task instance, which opens at its log. */
export function taskUrl({ dagId, runId, taskId, mapIndex }: TaskPlace): string {
  const mapped = mapIndex >= 0 ? `/mapped/${mapIndex}` : "";
  return `${runUrl(dagId, runId)}/tasks/${encodeURIComponent(taskId)}${mapped}`;
}
