// Who uses this page, and what that key may do. The key itself is nowhere in it: a cookie that scripts cannot read stands for it.

import { computed, signal } from "@preact/signals";
import { ApiError, api, login, type Session } from "./api";

/** Null until the first answer. */
export const session = signal<Session | null>(null);
/** Whether somebody was logged in who is not any more: the key has expired or was revoked, or the session is over. */
export const isOver = signal(false);

export interface Rights {
  /** Talk with models. */
  infer: boolean;
  /** See, launch and terminate them. */
  launch: boolean;
  admin: boolean;
  metrics: boolean;
}

export const rights = computed<Rights>(() => {
  const now = session.value;
  if (!now) return { infer: false, launch: false, admin: false, metrics: false };
  if (!now.required) return { infer: true, launch: true, admin: true, metrics: true };
  const scope = now.key?.scope;
  const admin = scope === "admin";
  const launch = admin || scope === "launch";
  return { admin, launch, infer: launch || scope === "infer", metrics: admin || scope === "metrics" };
});

export const needsLogin = computed(() => session.value?.required === true && session.value.key === null);

// Browsers take no longer waits.
const LONGEST_MS = 2 ** 31 - 1;
let end: number | undefined;

function take(found: Session): void {
  clearTimeout(end);
  login.csrfToken = found.csrf_token;
  if (found.expires_at !== null) {
    const left = found.expires_at * 1000 - Date.now();
    end = setTimeout(look, Math.max(1000, Math.min(LONGEST_MS, left)));
  }
  session.value = found;
}

/** Asks whose session this is; in the end nobody's. */
export async function look(): Promise<void> {
  const before = session.value?.key;
  const found = await api.session();
  if (before && !found.key) isOver.value = true;
  take(found);
}

const AGAIN_MS = 2000;
/** Whether the first question was answered by nobody. */
export const isAlone = signal(false);

/** The first question of a page, asked until there is an answer. */
export async function begin(): Promise<void> {
  try {
    await look();
    isAlone.value = false;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    isAlone.value = true;
    setTimeout(begin, AGAIN_MS);
  }
}

/** Raises `ApiError` 401 for a key that is not valid. */
export async function logIn(key: string): Promise<void> {
  take(await api.logIn(key));
  isOver.value = false;
}

export async function logOut(): Promise<void> {
  await api.logOut();
  // Nothing of what that key has seen stays in memory.
  location.reload();
}

let isLooking = false;

login.onRefused = async () => {
  if (isLooking || !session.value?.key) return;
  isLooking = true;
  try {
    await look();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  } finally {
    isLooking = false;
  }
};
