// The one place that talks to the server: every request and every stream goes through here.

export interface Replica {
  replica_id: number;
  replica_uid: string | null;
  worker_address: string | null;
  accelerators: string[];
  status: string;
  model_state: string;
  created_ts: number;
  error_message: string | null;
}

export interface Instance {
  model_name: string;
  model_uid: string;
  model_version: string;
  model_ability: string[];
  replica: number;
  status: "CREATING" | "LOADING" | "READY" | "SLEEPING" | "TERMINATING" | "ERROR" | "TERMINATED";
  state: string;
  reason: string | null;
  instance_created_ts: number;
  replica_statuses: Replica[];
}

export interface Described {
  id: string;
  context_length: number;
  thinking: "always" | "never" | "switch";
  enable_thinking: boolean | null;
  model_ability: string[];
  idle_timeout: number | null;
  n_gpu: number;
  status: string;
}

export interface Stage {
  stage: string;
  began_at: number;
  seconds: number | null;
}

export interface Download {
  bytes_done: number;
  bytes_total: number;
  bytes_per_s: number;
  files_done: number;
  files_total: number;
}

export interface ReplicaProgress {
  replica_id: number;
  progress: number;
  stage: string;
  info: string;
  stages: Stage[];
  download: Download | null;
}

export interface Progress {
  progress: number;
  stage: string;
  stages: Stage[];
  replicas: ReplicaProgress[];
  why: string | null;
  error: string | null;
}

export interface Fit {
  fits: boolean;
  why: string;
  model_size_in_billions: string | null;
  model_format: string | null;
  quantization: string | null;
  n_gpu: number | null;
  context_length: number | null;
  memory_gib: number | null;
}

export interface ModelFit extends Fit {
  source: string;
}

export interface Family {
  name: string;
  description: string;
  abilities: string[];
  languages: string[];
  context_length: number;
  thinking: "always" | "never" | "switch";
  sizes: string[];
  formats: string[];
  fit: Fit;
}

export interface ModelEvent {
  event_type: "INFO" | "WARNING" | "ERROR";
  event_ts: number;
  event_content: string;
}

export interface Gpu {
  index: number;
  name: string;
  memory_total: number;
  memory_used: number;
  utilization: number | null;
}

export interface Node {
  id: string;
  address: string;
  hostname: string;
  head: boolean;
  state: "READY" | "DRAINING" | "DRAINED";
  labels: Record<string, string>;
  num_gpus: number;
  gpus: Gpu[];
  replicas: { model_uid: string; replica: string }[];
  // What its agent reports is null until the first report, and after a minute of silence.
  cpu: { count: number; used_percent: number } | null;
  memory: { total: number; used: number; available: number } | null;
  disk: { total: number; free: number } | null;
  warm_host: string | null;
  age_s: number | null;
}

export interface ModelTraffic {
  requests: number;
  errors: number;
  in_flight: number;
  first_tokens: number;
  first_token_seconds: number;
  durations: number;
  duration_seconds: number;
}

export interface Period {
  at: number;
  seconds: number;
  models: Record<string, ModelTraffic>;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
  ) {
    super(message);
  }
}

/** Of the supervisor: the page is at `ui/` below it, behind whatever prefix a proxy adds. */
const ROOT = new URL("../", document.baseURI);

export const endpoint = ROOT.href.replace(/\/$/, "");

/** Headers of every request. A key, where a cluster asks for one, is for this function to add. */
function headers(hasBody: boolean): Record<string, string> {
  return hasBody ? { "Content-Type": "application/json" } : {};
}

export async function request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const hasBody = body !== undefined;
  let response: Response;
  try {
    response = await fetch(new URL(path, ROOT), {
      method,
      headers: headers(hasBody),
      body: hasBody ? JSON.stringify(body) : undefined,
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "unreachable");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response: Response): Promise<ApiError> {
  if (response.status === 401) return new ApiError(401, "unauthorized");
  try {
    const body = await response.json();
    return new ApiError(response.status, String(body.error?.message ?? body.detail), body.error?.code ?? null);
  } catch {
    return new ApiError(response.status, `${response.status} ${response.statusText}`);
  }
}

async function json<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return (await request(method, path, body, signal)).json() as Promise<T>;
}

const model = (uid: string) => `v1/models/${encodeURIComponent(uid)}`;

export const api = {
  version: () => json<{ version: string }>("GET", "version"),
  instances: () => json<Instance[]>("GET", "v1/models/instances"),
  models: () => json<{ data: Described[] }>("GET", "v1/models"),
  progress: (uid: string) => json<Progress>("GET", `${model(uid)}/progress`),
  launch: (body: object) => json<{ model_uid: string; why?: string }>("POST", "v1/models?wait_ready=false", body),
  cancel: (uid: string) => json<null>("POST", `${model(uid)}/cancel`),
  terminate: (uid: string) => json<null>("DELETE", model(uid)),
  sleep: (uid: string) => json<null>("POST", `${model(uid)}/sleep`),
  wake: (uid: string) => json<null>("POST", `${model(uid)}/wake`),
  addReplicas: (uid: string, replica: number) =>
    json<unknown>("POST", `${model(uid)}/replicas?wait_ready=false`, { replica }),
  removeReplica: (uid: string, id: number) => json<unknown>("DELETE", `${model(uid)}/replicas/${id}`),
  log: (uid: string, lines: number) =>
    json<{ replicas: { replica_uid: string; lines: string[] }[] }>("GET", `${model(uid)}/log?lines=${lines}`),
  events: (uid: string) => json<ModelEvent[]>("GET", `${model(uid)}/events`),
  catalog: () => json<{ data: Family[] }>("GET", "v1/catalog"),
  family: (name: string) =>
    json<{ family: Family; models: ModelFit[] }>("GET", `v1/catalog/${encodeURIComponent(name)}`),
  metrics: async () => (await request("GET", "metrics")).text(),
  traffic: () => json<{ data: Period[] }>("GET", "v1/traffic"),
  nodes: () => json<{ data: Node[] }>("GET", "v1/nodes"),
  drain: (id: string) => json<unknown>("POST", `v1/nodes/${encodeURIComponent(id)}/drain`),
  undrain: (id: string) => json<unknown>("POST", `v1/nodes/${encodeURIComponent(id)}/undrain`),
};

/** The data of each server-sent event of a response, as it comes. */
export async function* eventsOf(response: Response): AsyncGenerator<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.startsWith("data:")) yield line.slice(5).trim();
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

export const changesUrl = () => new URL("v1/events", ROOT).href;
