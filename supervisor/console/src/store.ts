// What the cluster has, kept up to date by its event stream, or by asking every two seconds where there is none.

import { computed, signal } from "@preact/signals";
import { ApiError, api, changesUrl, type Instance, type Progress } from "./api";
import { t } from "./i18n";

/** By UID; null until the first answer. */
export const instances = signal<ReadonlyMap<string, Instance> | null>(null);
/** Of each launch under way. */
export const progress = signal<Record<string, Progress>>({});
export const connection = signal<"connecting" | "live" | "lost">("connecting");
export const refused = signal(false);

export const sorted = computed(() => {
  const all = [...(instances.value?.values() ?? [])];
  return all.sort((a, b) => b.instance_created_ts - a.instance_created_ts || a.model_uid.localeCompare(b.model_uid));
});

export const isLaunching = (each: Instance) => each.status === "CREATING" || each.status === "LOADING";
export const usable = computed(() => sorted.value.filter((each) => each.status === "READY" || each.status === "SLEEPING"));

const POLL_MS = 2000;
let source: EventSource | null = null;
let poll: number | undefined;

export function follow(): void {
  open();
  // A browser has six connections to one server for all its tabs: one that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
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
    refused.value = false;
    poll = setTimeout(open, POLL_MS);
  } catch (error) {
    connection.value = "lost";
    refused.value = error instanceof ApiError && error.status === 401;
    poll = setTimeout(askUntilLive, POLL_MS);
  }
}

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
