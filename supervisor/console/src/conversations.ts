// Conversations stay in this browser, in its own database; the cluster keeps none.

import { signal } from "@preact/signals";

export interface Answer {
  model: string;
  content: string;
  thinking: string;
  toolCalls: unknown[];
  /** What was asked and what came, for the raw view. */
  asked?: unknown;
  finish?: string;
  error?: string;
  promptTokens?: number;
  tokens?: number;
  firstTokenS?: number;
  seconds?: number;
}

export interface Turn {
  id: string;
  text: string;
  images: string[];
  answers: Answer[];
}

export interface Options {
  system: string;
  temperature: string;
  topP: string;
  maxTokens: string;
  stop: string;
  seed: string;
  tools: string;
}

export interface Conversation {
  id: string;
  title: string;
  changed: number;
  models: string[];
  options: Options;
  turns: Turn[];
}

export const NO_OPTIONS: Options = { system: "", temperature: "", topP: "", maxTokens: "", stop: "", seed: "", tools: "" };

export const newId = () => [...crypto.getRandomValues(new Uint8Array(12))].map((each) => each.toString(16).padStart(2, "0")).join("");

export const conversations = signal<Conversation[]>([]);

const STORE = "conversations";

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("xinfer", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

let database: Promise<IDBDatabase> | null = null;

async function run<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  try {
    database ??= open();
    const store = (await database).transaction(STORE, mode).objectStore(STORE);
    return await new Promise((resolve, reject) => {
      const asked = work(store);
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
  } catch {
    // A browser that keeps nothing, as some do in private windows: then they last as long as the page.
    return undefined;
  }
}

export async function loadConversations(): Promise<void> {
  const kept = (await run<Conversation[]>("readonly", (store) => store.getAll())) ?? [];
  const known = new Set(conversations.value.map((each) => each.id));
  conversations.value = [...conversations.value, ...kept.filter((each) => !known.has(each.id))].sort((a, b) => b.changed - a.changed);
}

export function keep(conversation: Conversation): void {
  const changed = { ...conversation, changed: Date.now() };
  conversations.value = [changed, ...conversations.value.filter((each) => each.id !== changed.id)];
  void run("readwrite", (store) => store.put(changed));
}

export function forget(id: string): void {
  conversations.value = conversations.value.filter((each) => each.id !== id);
  void run("readwrite", (store) => store.delete(id));
}

export function toMarkdown(conversation: Conversation): string {
  const parts = [`# ${conversation.title}`];
  if (conversation.options.system) parts.push(`> ${conversation.options.system}`);
  for (const turn of conversation.turns) {
    parts.push(`## User\n\n${turn.text}`);
    for (const answer of turn.answers) {
      const thought = answer.thinking ? `<details><summary>Thinking</summary>\n\n${answer.thinking}\n\n</details>\n\n` : "";
      parts.push(`## ${answer.model}\n\n${thought}${answer.content || answer.error || ""}`);
    }
  }
  return `${parts.join("\n\n")}\n`;
}
