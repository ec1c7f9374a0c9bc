// What the cluster has, kept up to date by its event stream, or by asking every two seconds where there is none.

import { computed, effect, signal } from "@preact/signals";
import { ApiError, api, changesUrl, type Described, type Instance, type Progress } from "./api";
import { t } from "./i18n";
import { rights } from "./session";

/** By UID; null until the first answer. */
export const instances = signal<ReadonlyMap<string, Instance> | null>(null);
/** Of each launch under way. */
export const progress = signal<Record<string, Progress>>({});
export const connection = signal<"connecting" | "live" | "lost">("connecting");

export const sorted = computed(() => {
  const all = [...(instances.value?.values() ?? [])];
  return all.sort((a, b) => b.instance_created_ts - a.instance_created_ts || a.model_uid.localeCompare(b.model_uid));
});

export const isLaunching = (each: Instance) => each.status === "CREATING" || each.status === "LOADING";
export const usable = computed(() => sorted.value.filter((each) => each.status === "READY" || each.status === "SLEEPING"));

const POLL_MS = 2000;
const USABLE_MS = 10_000;
let source: EventSource | null = null;
let poll: number | undefined;

export function follow(): void {
  // Anew with every login, and whenever another right comes or goes.
  effect(() => {
    if (rights.value.launch) open();
    else if (rights.value.infer) void askForUsable();
    else {
      close();
      // The next one who logs in here may have to see less.
      instances.value = null;
    }
  });
  // A browser has six connections to one server for all its tabs: one that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (rights.value.launch) open();
    else if (rights.value.infer) void askForUsable();
  });
}

function close(): void {
  source?.close();
  source = null;
  clearTimeout(poll);
}

function open(): void {
  close();
  const opened = new EventSource(changesUrl());
  // A stream that begins anew begins with all models.
  let fresh = true;
  source = opened;
  opened.addEventListener("open", () => (connection.value = "live"));
  opened.addEventListener("models", (event) => {
    const { changed, gone } = JSON.parse((event as MessageEvent).data) as { changed: Instance[]; gone: string[] };
    take(changed, gone, fresh);
    fresh = false;
    connection.value = "live";
  });
  opened.addEventListener("progress", (event) => (progress.value = JSON.parse((event as MessageEvent).data)));
  opened.addEventListener("error", () => {
    fresh = true;
    // A browser tries again by itself, unless it got a response: of a proxy whose supervisors are gone, perhaps.
    if (opened.readyState === EventSource.CLOSED) void askUntilLive();
    else connection.value = "lost";
  });
}

function take(changed: Instance[], gone: string[], isAll: boolean): void {
  const next = new Map(isAll ? [] : instances.value);
  for (const each of changed) next.set(each.model_uid, each);
  for (const uid of gone) next.delete(uid);
  instances.value = next;
  if (![...next.values()].some(isLaunching)) progress.value = {};
}

async function askUntilLive(): Promise<void> {
  clearTimeout(poll);
  try {
    await ask();
    connection.value = "live";
    poll = setTimeout(open, POLL_MS);
  } catch (error) {
    if (isRefusal(error)) return;
    connection.value = "lost";
    poll = setTimeout(askUntilLive, POLL_MS);
  }
}

/** Whether to ask again is for the login to say. */
const isRefusal = (error: unknown) => error instanceof ApiError && error.status === 401;

/** For a key that may use models and not see how they are launched. */
async function askForUsable(): Promise<void> {
  close();
  try {
    const found = await api.models();
    take(found.data.map(asInstance), [], true);
    connection.value = "live";
  } catch (error) {
    if (isRefusal(error)) return;
    connection.value = "lost";
  }
  poll = setTimeout(askForUsable, USABLE_MS);
}

const asInstance = (model: Described): Instance => ({
  model_name: model.id,
  model_uid: model.id,
  model_version: "",
  model_ability: model.model_ability,
  replica: 0,
  status: model.status === "SLEEPING" ? "SLEEPING" : "READY",
  state: model.status,
  reason: null,
  instance_created_ts: 0,
  replica_statuses: [],
});

/** Everything at once, after a change that this page has made itself. */
export async function ask(): Promise<void> {
  const all = await api.instances();
  take(all, [], true);
  const launches = all.filter(isLaunching).map((each) => each.model_uid);
  const found = await Promise.all(launches.map(async (uid) => [uid, await api.progress(uid)] as const));
  if (found.length) progress.value = Object.fromEntries(found);
}

export interface Toast {
  id: number;
  kind: "info" | "error";
  text: string;
}

export const toasts = signal<Toast[]>([]);
let toastCount = 0;

export function toast(text: string, kind: Toast["kind"] = "info"): void {
  const id = ++toastCount;
  toasts.value = [...toasts.value.slice(-3), { id, kind, text }];
  setTimeout(() => dismiss(id), kind === "error" ? 9000 : 4000);
}

export const dismiss = (id: number) => (toasts.value = toasts.value.filter((each) => each.id !== id));

/** What went wrong, in a sentence for people. */
export function sentence(error: unknown): string {
  if (!(error instanceof ApiError)) return String(error);
  if (error.status === 401) return t("error.unauthorized");
  if (error.status === 0) return t("error.unreachable");
  return error.message;
}

/** Runs `work`; shows its failure. True if it went well. */
export async function attempt(work: () => Promise<unknown>, done?: string): Promise<boolean> {
  try {
    await work();
  } catch (error) {
    toast(sentence(error), "error");
    return false;
  }
  if (done) toast(done);
  return true;
}
