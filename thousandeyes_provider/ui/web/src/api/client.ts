/** Requests to Airflow's REST API with the user's session. */
import { parseXCom } from "../model/json";

/** Maximum number of concurrent requests, to leave capacity for other users. */
const CONCURRENCY = 6;

/** A failed request, with a message for the user. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export class Limiter {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly most: number) {}

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.running >= this.most) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.running += 1;
    try {
      return await work();
    } finally {
      this.running -= 1;
      this.waiting.shift()?.();
    }
  }
}

const limiter = new Limiter(CONCURRENCY);

function sentence(status: number, dagId: string): string {
  const subject = dagId === "~" ? "these DAGs" : `DAG ${dagId}`;
  switch (status) {
    case 401:
      return "Your session has expired. Sign in to Airflow again, then reload this page.";
    case 403:
      return `You do not have permission to read the results of ${subject}. Airflow refused the request (403). Ask your Airflow administrator for read access to its XComs.`;
    case 404:
      return `Airflow does not have this entry of ${subject} (404).`;
    default:
      return `Airflow answered the request for ${subject} with status ${status}. Try again later.`;
  }
}

async function getJson(path: string, dagId: string, signal: AbortSignal): Promise<unknown> {
  return limiter.run(async () => {
    signal.throwIfAborted();
    let response: Response;
    try {
      // Without a leading slash, the address is relative to Airflow's base path.
      response = await fetch(`api/v2/${path}`, {
        signal,
        credentials: "same-origin",
        headers: { Accept: "application/json" },
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new ApiError(0, "Airflow cannot be reached. Check your connection, then reload this page.");
    }
    if (!response.ok) throw new ApiError(response.status, sentence(response.status, dagId));
    return response.json();
  });
}

function path(...parts: readonly string[]): string {
  return parts.map((part) => (part === "~" ? part : encodeURIComponent(part))).join("/");
}

function query(parameters: Readonly<Record<string, string | number>>): string {
  return new URLSearchParams(
    Object.entries(parameters).map(([key, value]) => [key, String(value)]),
  ).toString();
}

export class Api {
  constructor(private readonly signal: AbortSignal) {}

  /** The value of an XCom; `undefined` if it does not exist. */
  async xcom(
    task: { dagId: string; runId: string; taskId: string; mapIndex: number },
    key: string,
  ): Promise<unknown> {
    try {
      const entry = await getJson(
        `${path("dags", task.dagId, "dagRuns", task.runId, "taskInstances", task.taskId, "xcomEntries", key)}?${query({ map_index: task.mapIndex })}`,
        task.dagId,
        this.signal,
      );
      return parseXCom((entry as { value?: unknown }).value);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** A page of XCom entries, without their values. */
  async xcomEntries(
    dagId: string,
    runId: string,
    taskId: string,
    parameters: Readonly<Record<string, string | number>>,
  ): Promise<unknown> {
    return getJson(
      `${path("dags", dagId, "dagRuns", runId, "taskInstances", taskId, "xcomEntries")}?${query(parameters)}`,
      dagId,
      this.signal,
    );
  }

  async dagRuns(dagId: string, parameters: Readonly<Record<string, string | number>>): Promise<unknown> {
    return getJson(`${path("dags", dagId, "dagRuns")}?${query(parameters)}`, dagId, this.signal);
  }

  async dagRun(dagId: string, runId: string): Promise<unknown> {
    return getJson(path("dags", dagId, "dagRuns", runId), dagId, this.signal);
  }

  async taskInstance(task: {
    dagId: string;
    runId: string;
    taskId: string;
    mapIndex: number;
  }): Promise<unknown> {
    const mapped = task.mapIndex >= 0 ? [String(task.mapIndex)] : [];
    return getJson(
      path("dags", task.dagId, "dagRuns", task.runId, "taskInstances", task.taskId, ...mapped),
      task.dagId,
      this.signal,
    );
  }
}

/** The address of an XCom in Airflow's REST API, for a link. */
export function xcomUrl(
  task: { dagId: string; runId: string; taskId: string; mapIndex: number },
  key: string,
): string {
  return `api/v2/${path("dags", task.dagId, "dagRuns", task.runId, "taskInstances", task.taskId, "xcomEntries", key)}?${query({ map_index: task.mapIndex, deserialize: "true" })}`;
}
