// Keys and what was used with them, as far as one's own key goes. The text of a key is shown once, and never asked for again.

import { useState } from "preact/hooks";
import { api, type ApiKey, type Used, usageCsvUrl } from "../api";
import { compact, count, day } from "../format";
import { t, type Key } from "../i18n";
import { Badge, Button, Code, Dialog, Empty, Field, Head, Icon, Notice, Skeletons, useLoaded } from "../parts";
import { rights, session } from "../session";
import { attempt, sentence, toast } from "../store";

const DAY_S = 86_400;
const PERIODS = [1, 7, 30];
const SCOPES = ["infer", "launch", "admin", "metrics"] as const;

type Asked = { kind: "create" } | { kind: "edit" | "rotate" | "revoke"; key: ApiKey } | null;

export function Keys() {
  const isOn = session.value?.required === true;
  const isAdmin = isOn && rights.value.admin;
  const [asked, setAsked] = useState<Asked>(null);
  const keys = useLoaded(async () => (isAdmin ? (await api.keys()).data : null), [isAdmin]);
  if (!isOn) {
    return (
      <>
        <Head title={t("keys.title")} />
        <Empty icon="keys" title={t("keys.off")} text={t("keys.off.text")} />
      </>
    );
  }
  const close = () => {
    setAsked(null);
    keys.again();
  };
  return (
    <>
      <Head title={t("keys.title")} lead={t(isAdmin ? "keys.lead" : "keys.lead.own")}>
        {isAdmin && (
          <Button kind="primary" icon="plus" onClick={() => setAsked({ kind: "create" })}>
            {t("keys.create")}
          </Button>
        )}
      </Head>
      {keys.error && <Notice kind="bad">{keys.error}</Notice>}
      {isAdmin && !keys.data && !keys.error && <Skeletons count={3} height={60} />}
      {keys.data && <KeyTable keys={keys.data} onAsk={setAsked} />}
      {!isAdmin && session.value?.key && <Own found={session.value.key} />}
      <Usage isAdmin={isAdmin} />
      {asked?.kind === "create" && <Create onClose={close} />}
      {asked?.kind === "edit" && <Edit found={asked.key} onClose={close} />}
      {asked?.kind === "rotate" && <Rotate found={asked.key} onClose={close} />}
      {asked?.kind === "revoke" && <Revoke found={asked.key} onClose={close} />}
    </>
  );
}

const BADGES: Record<ApiKey["state"], string> = { active: "ACTIVE", expired: "EXPIRED", revoked: "REVOKED" };

function limitsOf(key: ApiKey): string[] {
  const parts = [
    key.rpm && t("keys.rpm.of", { n: count(key.rpm) }),
    key.tpm && t("keys.tpm.of", { n: compact(key.tpm) }),
    key.concurrency && t("keys.concurrency.of", { n: count(key.concurrency) }),
    key.budget_tokens && t(key.budget_period === "day" ? "keys.budget.day" : "keys.budget.month", { n: compact(key.budget_tokens) }),
  ].filter((each): each is string => typeof each === "string");
  return parts.length ? parts : [t("keys.unlimited")];
}

function expiryOf(key: ApiKey): string {
  if (key.revoked_at) return t("keys.revoked.at", { at: day(key.revoked_at) });
  return key.expires_at ? day(key.expires_at) : t("keys.never");
}

const modelsOf = (key: ApiKey) => (key.models.length ? key.models.join(", ") : t("keys.models.all"));

function KeyTable({ keys, onAsk }: { keys: ApiKey[]; onAsk: (asked: Asked) => void }) {
  const own = session.value?.key?.id;
  const sorted = [...keys].sort((a, b) => Number(a.state !== "active") - Number(b.state !== "active") || b.created_at - a.created_at);
  return (
    <div class="table-wrap card gap-below" tabindex={0}>
      <table>
        <caption class="unseen">{t("keys.title")}</caption>
        <thead>
          <tr>
            {(["keys.name", "keys.scope", "keys.models", "keys.limits", "keys.expires", "keys.state"] as const).map((each) => (
              <th key={each} scope="col">
                {t(each)}
              </th>
            ))}
            <th scope="col">
              <span class="unseen">{t("keys.actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((key) => (
            <tr key={key.id} class={key.state === "active" ? "" : "faded"}>
              <th scope="row">
                {key.name}
                {key.id === own && <span class="tag">{t("keys.yours")}</span>}
              </th>
              <td>{t(`scope.${key.scope}`)}</td>
              <td class="wraps">{modelsOf(key)}</td>
              <td>
                {limitsOf(key).map((each) => (
                  <div key={each}>{each}</div>
                ))}
              </td>
              <td>{expiryOf(key)}</td>
              <td>
                <Badge state={BADGES[key.state]} />
              </td>
              <td>
                {key.state !== "revoked" && (
                  <span class="actions">
                    <Button kind="quiet" class="small" icon="edit" label={t("keys.edit.of", { name: key.name })} onClick={() => onAsk({ kind: "edit", key })} />
                    <Button kind="quiet" class="small" icon="again" label={t("keys.rotate.of", { name: key.name })} onClick={() => onAsk({ kind: "rotate", key })} />
                    <Button kind="quiet" class="small" icon="trash" label={t("keys.revoke.of", { name: key.name })} onClick={() => onAsk({ kind: "revoke", key })} />
                  </span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Own({ found }: { found: ApiKey }) {
  const facts: [Key, string][] = [
    ["keys.name", found.name],
    ["keys.scope", t(`scope.${found.scope}`)],
    ["keys.models", modelsOf(found)],
    ["keys.limits", limitsOf(found).join(" · ")],
    ["keys.expires", expiryOf(found)],
  ];
  return (
    <section class="card gap-below">
      <h2>{t("keys.own")}</h2>
      <dl class="facts gap-above">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{t(name)}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Usage({ isAdmin }: { isAdmin: boolean }) {
  const [days, setDays] = useState(7);
  const [by, setBy] = useState<"key" | "model">(isAdmin ? "key" : "model");
  const [since, setSince] = useState(() => sinceOf(7));
  const usage = useLoaded(async () => (await api.usage(since)).data, [since], 10_000);
  const rows = usage.data ? grouped(usage.data, by) : [];
  const most = Math.max(1, ...rows.map((each) => each.prompt_tokens + each.completion_tokens));
  return (
    <section class="card usage" aria-label={t("usage.title")}>
      <div class="card-head">
        <h2>{t("usage.title")}</h2>
        <div class="actions">
          {isAdmin && (
            <div class="chips" role="group" aria-label={t("usage.by")}>
              {(["key", "model"] as const).map((each) => (
                <button key={each} type="button" class="chip" aria-pressed={by === each} onClick={() => setBy(each)}>
                  {t(`usage.by.${each}`)}
                </button>
              ))}
            </div>
          )}
          <select
            aria-label={t("usage.period")}
            value={String(days)}
            onChange={(event) => {
              const chosen = Number(event.currentTarget.value);
              setDays(chosen);
              setSince(sinceOf(chosen));
            }}
          >
            {PERIODS.map((each) => (
              <option key={each} value={String(each)}>
                {t("usage.days", { n: each })}
              </option>
            ))}
          </select>
          <a class="button" href={usageCsvUrl(since)} download="usage.csv">
            <Icon name="save" />
            <span>CSV</span>
          </a>
        </div>
      </div>
      {usage.error && <Notice kind="bad">{usage.error}</Notice>}
      {!usage.data && !usage.error && <Skeletons count={2} height={40} />}
      {usage.data && !rows.length && <p class="muted">{t("usage.none")}</p>}
      {rows.length > 0 && (
        <div class="table-wrap" tabindex={0}>
          <table>
            <caption class="unseen">{t("usage.title")}</caption>
            <thead>
              <tr>
                {([`usage.by.${by}`, "usage.share", "usage.requests", "usage.prompt", "usage.cached", "usage.completion", "usage.refused"] as const).map((each) => (
                  <th key={each} scope="col">
                    {t(each)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((each) => (
                <tr key={each[by]}>
                  <th scope="row">{by === "key" ? each.key_name : each.model}</th>
                  <td class="share">
                    <div class="track">
                      <div class="fill" style={{ width: `${(100 * (each.prompt_tokens + each.completion_tokens)) / most}%` }} />
                    </div>
                  </td>
                  <td>{count(each.requests)}</td>
                  <td>{count(each.prompt_tokens)}</td>
                  <td>{count(each.cached_tokens)}</td>
                  <td>{count(each.completion_tokens)}</td>
                  <td>{count(each.refused)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

const sinceOf = (days: number) => Math.floor(Date.now() / 1000) - days * DAY_S;
const COUNTS = ["requests", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "refused"] as const;

function grouped(rows: Used[], by: "key" | "model"): Used[] {
  const sums = new Map<string, Used>();
  for (const row of rows) {
    const sum = sums.get(row[by]);
    if (!sum) sums.set(row[by], { ...row });
    else for (const name of COUNTS) sum[name] += row[name];
  }
  return [...sums.values()].sort((a, b) => b.prompt_tokens + b.completion_tokens - a.prompt_tokens - a.completion_tokens);
}

const NEW = { name: "", scope: "infer", models: "", rpm: "", tpm: "", concurrency: "", budget: "", period: "day", days: "", priority: "normal" };

type Form = typeof NEW;

function formOf(key: ApiKey): Form {
  const number = (value: number | null) => (value === null ? "" : String(value));
  return {
    name: key.name,
    scope: key.scope,
    models: key.models.join(", "),
    rpm: number(key.rpm),
    tpm: number(key.tpm),
    concurrency: number(key.concurrency),
    budget: number(key.budget_tokens),
    period: key.budget_period,
    days: key.expires_at === null ? "" : String(Math.max(0, Math.ceil((key.expires_at - Date.now() / 1000) / DAY_S))),
    priority: key.priority,
  };
}

function Create({ onClose }: { onClose: () => void }) {
  const [made, setMade] = useState<ApiKey | null>(null);
  if (made) return <Shown made={made} onClose={onClose} />;
  const create = async (form: Form) => setMade(await api.createKey({ scope: form.scope, ...changesOf(NEW, form) }));
  return <KeyForm before={NEW} title={t("keys.create")} action={t("keys.create")} onSend={create} onClose={onClose} />;
}

function Edit({ found, onClose }: { found: ApiKey; onClose: () => void }) {
  // Once: the days that are left become fewer while the form is open.
  const [before] = useState(() => formOf(found));
  const save = async (form: Form) => {
    const body = changesOf(before, form);
    if (Object.keys(body).length) {
      const key = await api.updateKey(found.id, body);
      toast(t("keys.edit.done", { name: key.name }));
    }
    onClose();
  };
  return <KeyForm isKnown before={before} title={t("keys.edit.of", { name: found.name })} action={t("keys.edit")} onSend={save} onClose={onClose} />;
}

interface KeyFormProps {
  /** Of a key that there is, whose scope stays. */
  isKnown?: boolean;
  before: Form;
  title: string;
  action: string;
  /** What goes wrong in it is shown in the form. */
  onSend: (form: Form) => Promise<void>;
  onClose: () => void;
}

function KeyForm({ isKnown = false, before, title, action, onSend, onClose }: KeyFormProps) {
  const [form, setForm] = useState(before);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const bind = (name: keyof Form) => ({
    value: form[name],
    onInput: (event: Event) => setForm({ ...form, [name]: (event.currentTarget as HTMLInputElement).value }),
  });
  const send = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onSend(form);
    } catch (failed) {
      setError(sentence(failed));
    }
    setBusy(false);
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form class="form" onSubmit={send}>
        <Field label={t("keys.name")}>{(id) => <input id={id} required maxLength={64} autocomplete="off" {...bind("name")} />}</Field>
        <Field label={t("keys.scope")} hint={t(isKnown ? "keys.edit.scope" : (`scope.${form.scope}.text` as Key))}>
          {(id) => (
            <select id={id} disabled={isKnown} {...bind("scope")}>
              {SCOPES.map((each) => (
                <option key={each} value={each}>
                  {t(`scope.${each}`)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label={t("keys.models")} hint={t("keys.models.hint")}>
          {(id) => <input id={id} spellcheck={false} placeholder={t("keys.models.all")} {...bind("models")} />}
        </Field>
        <Field label={t("keys.days")}>{(id) => <input id={id} type="number" min={before.days === "0" ? "0" : "1"} max="3660" placeholder={t("keys.never")} {...bind("days")} />}</Field>
        <details open={isKnown}>
          <summary>{t("keys.limits")}</summary>
          <div class="fields">
            <Field label={t("keys.rpm")}>{(id) => <input id={id} type="number" min="1" placeholder={t("keys.unlimited")} {...bind("rpm")} />}</Field>
            <Field label={t("keys.tpm")}>{(id) => <input id={id} type="number" min="1" placeholder={t("keys.unlimited")} {...bind("tpm")} />}</Field>
            <Field label={t("keys.concurrency")}>{(id) => <input id={id} type="number" min="1" placeholder={t("keys.unlimited")} {...bind("concurrency")} />}</Field>
            <Field label={t("keys.priority")}>
              {(id) => (
                <select id={id} {...bind("priority")}>
                  {(["high", "normal", "low"] as const).map((each) => (
                    <option key={each} value={each}>
                      {t(`priority.${each}`)}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field label={t("keys.budget")}>{(id) => <input id={id} type="number" min="1" placeholder={t("keys.unlimited")} {...bind("budget")} />}</Field>
            <Field label={t("keys.period")}>
              {(id) => (
                <select id={id} {...bind("period")}>
                  <option value="day">{t("keys.period.day")}</option>
                  <option value="month">{t("keys.period.month")}</option>
                </select>
              )}
            </Field>
          </div>
        </details>
        {error && <Notice kind="bad">{error}</Notice>}
        <div class="actions end">
          <Button onClick={onClose}>{t("cancel")}</Button>
          <Button kind="primary" type="submit" busy={busy}>
            {action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** What the form says that is not as before; a scope never changes. What is left out undoes nobody else's change, or has its default. */
function changesOf(before: Form, form: Form): object {
  const number = (text: string) => (text ? Number(text) : null);
  const values: Record<keyof Omit<Form, "scope">, [string, unknown]> = {
    name: ["name", form.name.trim()],
    models: ["models", form.models],
    rpm: ["rpm", number(form.rpm)],
    tpm: ["tpm", number(form.tpm)],
    concurrency: ["concurrency", number(form.concurrency)],
    budget: ["budget_tokens", number(form.budget)],
    period: ["budget_period", form.period],
    days: ["expires_in", form.days ? Number(form.days) * DAY_S : null],
    priority: ["priority", form.priority],
  };
  const changed = (Object.keys(values) as (keyof typeof values)[]).filter((name) => form[name] !== before[name]);
  return Object.fromEntries(changed.map((name) => values[name]));
}

/** The one time that a key's text is there to be read. */
function Shown({ made, onClose }: { made: ApiKey; onClose: () => void }) {
  return (
    <Dialog title={t("keys.made", { name: made.name })} onClose={onClose}>
      <div class="form">
        <Notice kind="info">{t("keys.made.text")}</Notice>
        <Code text={made.key ?? ""} label={t("login.key")} />
        <div class="actions end">
          <Button kind="primary" onClick={onClose}>
            {t("keys.made.done")}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

function Rotate({ found, onClose }: { found: ApiKey; onClose: () => void }) {
  const [overlap, setOverlap] = useState("3600");
  const [made, setMade] = useState<ApiKey | null>(null);
  const [busy, setBusy] = useState(false);
  if (made) return <Shown made={made} onClose={onClose} />;
  const rotate = async () => {
    setBusy(true);
    await attempt(async () => setMade(await api.rotateKey(found.id, Number(overlap))));
    setBusy(false);
  };
  return (
    <Dialog title={t("keys.rotate.of", { name: found.name })} onClose={onClose}>
      <div class="form">
        <p>{t("keys.rotate.text")}</p>
        <Field label={t("keys.overlap")}>
          {(id) => (
            <select id={id} value={overlap} onChange={(event) => setOverlap(event.currentTarget.value)}>
              <option value="0">{t("keys.overlap.none")}</option>
              <option value="3600">{t("keys.overlap.hour")}</option>
              <option value="86400">{t("keys.overlap.day")}</option>
              <option value="604800">{t("keys.overlap.week")}</option>
            </select>
          )}
        </Field>
        <div class="actions end">
          <Button onClick={onClose}>{t("cancel")}</Button>
          <Button kind="primary" busy={busy} onClick={rotate}>
            {t("keys.rotate")}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}

function Revoke({ found, onClose }: { found: ApiKey; onClose: () => void }) {
  const [now, setNow] = useState(false);
  const [busy, setBusy] = useState(false);
  const revoke = async () => {
    setBusy(true);
    if (await attempt(() => api.revokeKey(found.id, now), t("keys.revoke.done", { name: found.name }))) onClose();
    else setBusy(false);
  };
  return (
    <Dialog title={t("keys.revoke.of", { name: found.name })} onClose={onClose}>
      <div class="form">
        <p>{t("keys.revoke.text")}</p>
        <label class="check">
          <input type="checkbox" checked={now} onChange={(event) => setNow(event.currentTarget.checked)} />
          <span>{t("keys.revoke.now")}</span>
        </label>
        <div class="actions end">
          <Button onClick={onClose}>{t("cancel")}</Button>
          <Button kind="danger" busy={busy} onClick={revoke}>
            {t("keys.revoke")}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
