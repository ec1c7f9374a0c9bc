// Small parts that every page is made of.

import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Instance } from "./api";
import { t, type Key } from "./i18n";
import { dismiss, sentence, toast, toasts } from "./store";

const PATHS: Record<string, string> = {
  models: "M4 7l8-4 8 4-8 4zM4 12l8 4 8-4M4 17l8 4 8-4",
  catalog: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  chat: "M4 5h16v11H9l-5 4z",
  cluster: "M4 4h16v6H4zM4 14h16v6H4zM8 7h.01M8 17h.01",
  traffic: "M3 17l5-6 4 3 5-8 4 5",
  logs: "M5 4h14v16H5zM8.5 8.5h7M8.5 12h7M8.5 15.5h4",
  benchmark: "M4.5 17a8.5 8.5 0 1 1 15 0M12 13.5l4-4.5M12 14.5h.01",
  keys: "M14.5 3.5a6 6 0 1 1-4.7 9.7L4 19v2h4v-2.5h2.5V16l1.6-1.6M16 8h.01",
  leave: "M10 4H5v16h5M15 8l4 4-4 4M9 12h10",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13",
  moon: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  auto: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  again: "M19 8a8 8 0 1 0 1 6M20 4v5h-5",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  check: "M5 12.5l4.5 4.5L19 7.5",
  down: "M6 9l6 6 6-6",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.5L20 17M15.5 9h.01",
  tune: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l4.5 4.5",
  wake: "M12 3v9M7 6a8 8 0 1 0 10 0",
  book: "M5 4h12a2 2 0 0 1 2 2v14H7a2 2 0 0 1-2-2zM5 17a2 2 0 0 1 2-2h12",
  columns: "M4 5h16v14H4zM12 5v14",
  thought: "M9.5 18h5M10 21h4M8.5 15a6 6 0 1 1 7 0v1.5h-7z",
  list: "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
};

export function Icon({ name, size = 18 }: { name: string; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

type ButtonProps = Omit<JSX.HTMLAttributes<HTMLButtonElement>, "icon"> & {
  icon?: string;
  kind?: "plain" | "primary" | "danger" | "quiet";
  busy?: boolean;
  disabled?: boolean;
  type?: "button" | "submit";
  /** For a button that shows an icon only. */
  label?: string;
  children?: ComponentChildren;
};

export function Button({ icon, kind = "plain", busy, label, children, disabled, type = "button", ...rest }: ButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      class={`button ${kind} ${children ? "" : "only-icon"} ${rest.class ?? ""}`}
      aria-label={label}
      title={label}
      disabled={disabled || busy}
      aria-busy={busy}
    >
      {busy ? <span class="spinner" /> : icon && <Icon name={icon} />}
      {children && <span>{children}</span>}
    </button>
  );
}

const TONES: Record<string, string> = {
  READY: "good",
  SLEEPING: "calm",
  CREATING: "busy",
  LOADING: "busy",
  TERMINATING: "dim",
  TERMINATED: "dim",
  ERROR: "bad",
  DEGRADED: "warn",
  DRAINING: "warn",
  DRAINED: "dim",
  RUNNING: "busy",
  DONE: "good",
  CANCELLED: "dim",
  ACTIVE: "good",
  EXPIRED: "warn",
  REVOKED: "dim",
};

export function Badge({ state }: { state: string }) {
  return (
    <span class={`badge ${TONES[state] ?? "dim"}`}>
      <i />
      {t(`state.${state}` as Key)}
    </span>
  );
}

export const stateOf = (each: Instance) => (each.state === "DEGRADED" ? "DEGRADED" : each.status);

export function Ability({ name }: { name: string }) {
  return <span class="tag">{t(`ability.${name}` as Key)}</span>;
}

export function Head({ title, lead, children }: { title: string; lead?: ComponentChildren; children?: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · xinfer`;
  }, [title]);
  return (
    <header class="head">
      <div>
        <h1>{title}</h1>
        {lead && <p class="lead">{lead}</p>}
      </div>
      {children && <div class="actions">{children}</div>}
    </header>
  );
}

export function Empty({ icon, title, text, children }: { icon: string; title: string; text?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <span class="halo">
        <Icon name={icon} size={26} />
      </span>
      <h2>{title}</h2>
      {text && <p>{text}</p>}
      {children}
    </div>
  );
}

export function Skeletons({ count = 3, height = 84 }: { count?: number; height?: number }) {
  return (
    <div class="stack" role="status" aria-label={t("loading")}>
      {Array.from({ length: count }, (_, number) => (
        <div key={number} class="skeleton" style={{ height: `${height}px` }} />
      ))}
    </div>
  );
}

export function Notice({ kind, children }: { kind: "bad" | "info"; children: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "note"}>
      {children}
    </div>
  );
}

export function Meter({ label, value, detail }: { label: string; value: number; detail: string }) {
  const percent = Math.max(0, Math.min(100, value * 100));
  return (
    <div class="meter">
      <div class="meter-line">
        <span>{label}</span>
        <span class="muted">{detail}</span>
      </div>
      <div class="track" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(percent)}>
        <div class={percent > 90 ? "fill hot" : "fill"} style={{ width: `${percent}%` }} />
      </div>
    </div>
  );
}

export function Field(props: { label: string; hint?: ComponentChildren; children: (id: string) => ComponentChildren }) {
  const [id] = useState(() => `f${Math.random().toString(36).slice(2)}`);
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children(id)}
      {props.hint && <p class="hint">{props.hint}</p>}
    </div>
  );
}

export function Copy({ text, label }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    if (!(await toClipboard(text))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <Button kind="quiet" class="small" icon={copied ? "check" : "copy"} label={copied ? t("copied") : (label ?? t("copy"))} onClick={copy} />
  );
}

/** The clipboard's own interface is there only for secure origins, which a cluster's address often is not. */
async function toClipboard(text: string): Promise<boolean> {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // The older way may be allowed all the same.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export function Code({ text, label }: { text: string; label?: string }) {
  return (
    <div class="code">
      <pre tabindex={0} aria-label={label}>
        <code>{text}</code>
      </pre>
      <Copy text={text} />
    </div>
  );
}

/** A dialog of the browser's own: it keeps the focus, and Escape closes it. */
export function Dialog(props: { title: string; side?: boolean; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => shown.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.side ? "side" : ""}
      aria-label={props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onMouseDown={(event) => event.target === dialog.current && props.onClose()}
    >
      <div class="dialog">
        <div class="dialog-head">
          <h2>{props.title}</h2>
          <Button kind="quiet" icon="close" label={t("close")} onClick={props.onClose} />
        </div>
        {props.children}
      </div>
    </dialog>
  );
}

interface Question {
  title: string;
  text: string;
  action: string;
  run: () => Promise<unknown>;
}

const question = signal<Question | null>(null);

/** Asks before something that cannot be undone. */
export const confirmFirst = (asked: Question) => (question.value = asked);

export function Confirmation() {
  const asked = question.value;
  const [busy, setBusy] = useState(false);
  if (!asked) return null;
  const close = () => (question.value = null);
  const run = async () => {
    setBusy(true);
    try {
      await asked.run();
      close();
    } catch (error) {
      toast(sentence(error), "error");
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={asked.title} onClose={close}>
      <p>{asked.text}</p>
      <div class="actions end">
        <Button onClick={close}>{t("cancel")}</Button>
        <Button kind="danger" busy={busy} onClick={run}>
          {asked.action}
        </Button>
      </div>
    </Dialog>
  );
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((each) => (
        <div key={each.id} class={`toast ${each.kind}`}>
          <span>{each.text}</span>
          <Button kind="quiet" class="small" icon="close" label={t("close")} onClick={() => dismiss(each.id)} />
        </div>
      ))}
    </div>
  );
}

/** What `load` gives, anew every `everyMs` and whenever `keys` change. */
export function useLoaded<T>(load: () => Promise<T>, keys: unknown[], everyMs = 0): { data: T | null; error: string | null; again: () => void } {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isWanted = true;
    let timer: number | undefined;
    const run = async () => {
      try {
        const found = await load();
        if (isWanted) {
          setData(found);
          setError(null);
        }
      } catch (failed) {
        if (isWanted) setError(sentence(failed));
      }
      if (isWanted && everyMs) timer = setTimeout(() => (document.hidden ? later() : run()), everyMs);
    };
    const later = () => document.addEventListener("visibilitychange", run, { once: true });
    run();
    return () => {
      isWanted = false;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", run);
    };
  }, [...keys, round]);
  return { data, error, again: () => setRound((before) => before + 1) };
}

/** The part of a long list that can be seen: its rows have one height, and the page itself scrolls. */
export function Rows<T>(props: { items: T[]; height: number; row: (item: T) => ComponentChildren; label: string }) {
  const list = useRef<HTMLUListElement>(null);
  const [span, setSpan] = useState<[number, number]>(() => [0, Math.ceil(innerHeight / props.height) + 8]);
  useEffect(() => {
    const look = () => {
      const top = list.current!.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(-top / props.height) - 4);
      const last = first + Math.ceil(innerHeight / props.height) + 8;
      setSpan((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [props.height, props.items.length]);
  const [first, last] = span;
  const begin = Math.min(first, props.items.length);
  return (
    <ul
      ref={list}
      class="rows"
      aria-label={props.label}
      style={{ paddingTop: `${begin * props.height}px`, paddingBottom: `${Math.max(0, props.items.length - last) * props.height}px` }}
    >
      {props.items.slice(begin, last).map(props.row)}
    </ul>
  );
}

export function useWidth(): number {
  const [width, setWidth] = useState(innerWidth);
  useEffect(() => {
    const look = () => setWidth(innerWidth);
    addEventListener("resize", look);
    return () => removeEventListener("resize", look);
  }, []);
  return width;
}
