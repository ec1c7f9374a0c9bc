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

export interface ApiKey {
  id: string;
  name: string;
  scope: "infer" | "launch" | "admin" | "metrics";
  models: string[];
  rpm: number | null;
  tpm: number | null;
  concurrency: number | null;
  budget_tokens: number | null;
  budget_period: "day" | "month";
  priority: "high" | "normal" | "low";
  isolate_cache: boolean;
  state: "active" | "expired" | "revoked";
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  former_until: number | null;
  /** Its text, once: when it has just been made. */
  key?: string;
}

export interface Session {
  required: boolean;
  key: ApiKey | null;
  expires_at: number | null;
  csrf_token: string | null;
  grafana_url: string | null;
}

export interface Used {
  key: string;
  key_name: string;
  model: string;
  requests: number;
  prompt_tokens: number;
  cached_tokens: number;
  completion_tokens: number;
  reasoning_tokens: number;
  refused: number;
}

/** What a model does now; counts are of the last hour. */
export interface Stats {
  model_uid: string;
  requests: number;
  errors: number;
  in_flight: number;
  ttft_s: number | null;
  tokens_per_s: number | null;
  kv_cache: number | null;
  waiting: number | null;
}

export interface Latency {
  p50: number;
  p90: number;
  p99: number;
  mean: number;
}

export interface Leg {
  requests: number;
  errors: Record<string, number>;
  tokens_per_s: number;
  requests_per_s: number;
  ttft_ms: Latency | null;
  itl_ms: Latency | null;
  e2e_ms: Latency | null;
}

export interface Run {
  id: string;
  model_uid: string;
  profile: string;
  levels: number[];
  started_by: string;
  state: "running" | "done" | "failed" | "cancelled";
  began_at: number;
  ended_at: number | null;
  step: string;
  requests_done: number;
  requests_total: number;
  legs: Leg[];
  error: string | null;
}

export interface Profile {
  name: string;
  description: string;
  levels: number[];
  prompt_tokens: number;
  output_tokens: number;
  turns: number;
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

/** Of the session that this page has, if keys are on; `session.ts` fills it. */
export const login: { csrfToken: string | null; onRefused: () => void } = { csrfToken: null, onRefused: () => undefined };

/** Headers of every request. Who asks is in a cookie; the token shows that this page does, and no other. */
function headers(hasBody: boolean): Record<string, string> {
  const found: Record<string, string> = {};
  if (hasBody) found["Content-Type"] = "application/json";
  if (login.csrfToken) found["X-CSRF-Token"] = login.csrfToken;
  return found;
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
  if (response.status === 401) {
    login.onRefused();
    return new ApiError(401, "unauthorized");
  }
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
  session: () => json<Session>("GET", "v1/session"),
  logIn: (key: string) => json<Session>("POST", "v1/session", { key }),
  logOut: () => json<Session>("DELETE", "v1/session"),
  keys: () => json<{ data: ApiKey[] }>("GET", "v1/keys"),
  createKey: (body: object) => json<ApiKey>("POST", "v1/keys", body),
  updateKey: (id: string, body: object) => json<ApiKey>("PATCH", `v1/keys/${id}`, body),
  revokeKey: (id: string, now: boolean) => json<ApiKey>("DELETE", `v1/keys/${id}`, { now }),
  rotateKey: (id: string, overlap: number) => json<ApiKey>("POST", `v1/keys/${id}/rotate`, { overlap }),
  usage: (since: number) => json<{ data: Used[] }>("GET", `v1/usage?since=${since}&by=key&by=model`),
  stats: () => json<{ data: Stats[] }>("GET", "v1/stats"),
  benchmarks: () => json<{ data: Run[]; profiles: Profile[] }>("GET", "v1/benchmarks"),
  benchmark: (id: string) => json<Run>("GET", `v1/benchmarks/${id}`),
  startBenchmark: (model_uid: string, profile: string) => json<Run>("POST", "v1/benchmarks", { model_uid, profile }),
  endBenchmark: (id: string) => json<unknown>("DELETE", `v1/benchmarks/${id}`),
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

export const usageCsvUrl = (since: number) => new URL(`v1/usage?since=${since}&format=csv`, ROOT).href;
export const benchmarkUrl = (id: string) => new URL(`v1/benchmarks/${id}/events`, ROOT).href;
export const changesUrl = () => new URL("v1/events", ROOT).href;
