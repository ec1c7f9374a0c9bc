// The form that launches a model, from the catalog or from a folder, with the commands that do the same.

import { useState } from "preact/hooks";
import { ApiError, api, endpoint, type ModelFit } from "../api";
import { count, gib } from "../format";
import { t } from "../i18n";
import { Ability, Button, Code, Field, Head, Icon, Notice, Skeletons, useLoaded } from "../parts";
import { go, to } from "../router";
import { rights, session } from "../session";
import { ask, sentence, toast } from "../store";
import { FitMark } from "./catalog";

interface Form {
  path: string;
  uid: string;
  replica: string;
  gpus: string;
  context: string;
  idle: string;
  kv: string;
  limits: string;
  thinking: string;
  trust: boolean;
  args: string;
}

const EMPTY: Form = { path: "", uid: "", replica: "1", gpus: "auto", context: "", idle: "", kv: "", limits: "", thinking: "", trust: false, args: "" };

export function LaunchFamily({ name }: { name: string }) {
  const family = useLoaded(() => api.family(name), [name]);
  const [chosen, setChosen] = useState<ModelFit | null>(null);
  const known = family.data?.family;
  return (
    <>
      <nav class="crumbs" aria-label={t("crumbs")}>
        <a href={to("catalog")}>{t("catalog.title")}</a>
      </nav>
      <Head title={known?.name ?? name} lead={known?.description} />
      {family.error && <Notice kind="bad">{family.error}</Notice>}
      {!family.data && !family.error && <Skeletons count={3} height={120} />}
      {known && (
        <>
          <div class="tags gap-below">
            {known.abilities.map((each) => (
              <Ability key={each} name={each} />
            ))}
            <span class="muted">{t("details.tokens", { n: count(known.context_length) })}</span>
          </div>
          <Choice models={family.data!.models} chosen={chosen} onChoose={setChosen} auto={known.fit} />
          <LaunchForm name={known.name} chosen={chosen} thinks={known.thinking === "switch"} />
        </>
      )}
    </>
  );
}

export function LaunchPath() {
  return (
    <>
      <nav class="crumbs" aria-label={t("crumbs")}>
        <a href={to("catalog")}>{t("catalog.title")}</a>
      </nav>
      <Head title={t("launch.path.title")} lead={t("launch.path.lead")} />
      <LaunchForm name="" chosen={null} thinks />
    </>
  );
}

function Choice(props: { models: ModelFit[]; chosen: ModelFit | null; onChoose: (model: ModelFit | null) => void; auto: { fits: boolean; why: string } & Partial<ModelFit> }) {
  const { models, auto } = props;
  if (models.length === 1) {
    return (
      <div class="card gap-below">
        <p class="row-title">
          <strong>{nameOf(models[0])}</strong> <FitMark fits={models[0].fits} />
          {models[0].memory_gib !== null && <span class="muted">{t("fit.memory", { n: gib(models[0].memory_gib) })}</span>}
        </p>
        {models[0].why && <p class="muted line">{models[0].why}</p>}
      </div>
    );
  }
  return (
    <fieldset class="choice gap-below">
      <legend>{t("launch.which")}</legend>
      <Option isChosen={props.chosen === null} onChoose={() => props.onChoose(null)} title={t("launch.auto")} fits={auto.fits} detail={auto.why || t("launch.auto.text")} />
      <details open={props.chosen !== null || models.length <= 6}>
        <summary>{t("launch.all", { n: models.length })}</summary>
        <div class="options">
          {models.map((each) => (
            <Option
              key={nameOf(each)}
              isChosen={props.chosen === each}
              onChoose={() => props.onChoose(each)}
              title={nameOf(each)}
              fits={each.fits}
              memory={each.memory_gib}
              gpus={each.n_gpu}
              detail={each.fits ? "" : each.why}
            />
          ))}
        </div>
      </details>
    </fieldset>
  );
}

function Option(props: { isChosen: boolean; onChoose: () => void; title: string; fits: boolean; detail: string; memory?: number | null; gpus?: number | null }) {
  return (
    <label class={`option ${props.isChosen ? "chosen" : ""}`}>
      <input type="radio" name="model" checked={props.isChosen} onChange={props.onChoose} />
      <span class="row-title">
        <strong>{props.title}</strong>
        <FitMark fits={props.fits} />
        {typeof props.memory === "number" && <span class="muted">{gib(props.memory)}</span>}
        {props.gpus ? <span class="muted">{t("fit.gpus", { n: props.gpus })}</span> : null}
      </span>
      {props.detail && <span class="muted line">{props.detail}</span>}
    </label>
  );
}

const nameOf = (model: ModelFit) => {
  const quantized = model.quantization && model.quantization !== "none" ? ` ${model.quantization}` : "";
  return `${model.model_size_in_billions}B · ${model.model_format}${quantized}`;
};

function LaunchForm({ name, chosen, thinks }: { name: string; chosen: ModelFit | null; thinks: boolean }) {
  const [form, setForm] = useState<Form>(EMPTY);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<{ text: string; param: string | null } | null>(null);
  const set = (change: Partial<Form>) => setForm({ ...form, ...change });
  const text = (field: keyof Form) => ({
    value: form[field] as string,
    onInput: (event: Event) => set({ [field]: (event.currentTarget as HTMLInputElement).value }),
  });
  const body = bodyOf(name, chosen, form);
  const launch = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const { model_uid } = await api.launch(body);
      await ask();
      toast(t("launch.begun", { uid: model_uid }));
      go("models");
    } catch (failed) {
      setError({ text: sentence(failed), param: failed instanceof ApiError ? failed.code : null });
    }
    setBusy(false);
  };
  return (
    <div class="split">
      <form class="card form" onSubmit={launch}>
        {!name && (
          <Field label={t("form.path")} hint={t("form.path.hint")}>
            {(id) => <input id={id} required placeholder="/models/my-model" autocomplete="off" {...text("path")} />}
          </Field>
        )}
        <div class="fields">
          <Field label={t("form.uid")} hint={t("form.uid.hint")}>
            {(id) => <input id={id} placeholder={name || t("form.uid.auto")} pattern="[A-Za-z0-9._\-]{1,100}" autocomplete="off" {...text("uid")} />}
          </Field>
          <Field label={t("form.replica")}>{(id) => <input id={id} type="number" min="1" max="1024" required {...text("replica")} />}</Field>
          <Field label={t("form.gpus")} hint={t("form.gpus.hint")}>
            {(id) => (
              <select id={id} value={form.gpus} onChange={(event) => set({ gpus: event.currentTarget.value })}>
                <option value="auto">{t("form.gpus.auto")}</option>
                <option value="none">{t("form.gpus.none")}</option>
                {["0.25", "0.5", "1", "2", "4", "8"].map((each) => (
                  <option key={each} value={each}>
                    {each}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </div>
        <details>
          <summary>{t("form.more")}</summary>
          <div class="fields">
            <Field label={t("form.context")} hint={t("form.context.hint")}>
              {(id) => <input id={id} type="number" min="1" placeholder={t("form.context.auto")} {...text("context")} />}
            </Field>
            <Field label={t("form.idle")} hint={t("form.idle.hint")}>
              {(id) => <input id={id} type="number" min="1" placeholder={t("form.never")} {...text("idle")} />}
            </Field>
            <Field label={t("form.kv")} hint={t("form.kv.hint")}>
              {(id) => <input id={id} type="number" min="0.1" step="0.1" placeholder={t("form.usual")} {...text("kv")} />}
            </Field>
            <Field label={t("form.limits")} hint={t("form.limits.hint")}>
              {(id) => <input id={id} type="number" min="1" placeholder="1024" {...text("limits")} />}
            </Field>
            {thinks && (
              <Field label={t("form.thinking")}>
                {(id) => (
                  <select id={id} value={form.thinking} onChange={(event) => set({ thinking: event.currentTarget.value })}>
                    <option value="">{t("form.usual")}</option>
                    <option value="on">{t("form.on")}</option>
                    <option value="off">{t("form.off")}</option>
                  </select>
                )}
              </Field>
            )}
          </div>
          <Field label={t("form.args")} hint={t("form.args.hint")}>
            {(id) => <textarea id={id} rows={3} spellcheck={false} placeholder={"max_num_seqs=64\nenforce_eager=true"} {...text("args")} />}
          </Field>
          {rights.value.admin && (
            <label class="check">
              <input type="checkbox" checked={form.trust} onChange={(event) => set({ trust: event.currentTarget.checked })} />
              <span>{t("form.trust")}</span>
            </label>
          )}
        </details>
        {error && (
          <Notice kind="bad">
            {error.text}
            {error.param === "permission_denied" && <span> {t("error.origin", { origin: location.origin })}</span>}
          </Notice>
        )}
        <div class="actions end">
          <Button kind="primary" type="submit" busy={busy}>
            {t("form.launch")}
          </Button>
        </div>
      </form>
      <Same body={body} />
    </div>
  );
}

function bodyOf(name: string, chosen: ModelFit | null, form: Form): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  if (name) body.model_name = name;
  else body.model_path = form.path.trim();
  if (chosen) {
    body.model_size_in_billions = chosen.model_size_in_billions;
    body.model_format = chosen.model_format;
    body.quantization = chosen.quantization;
  }
  if (form.uid.trim()) body.model_uid = form.uid.trim();
  if (form.replica !== "1") body.replica = Number(form.replica);
  if (form.gpus === "none") body.n_gpu = null;
  else if (form.gpus !== "auto") body.n_gpu = Number(form.gpus);
  if (form.context) body.context_length = Number(form.context);
  if (form.idle) body.idle_timeout = Number(form.idle);
  if (form.kv) body.kv_cache_gib = Number(form.kv);
  if (form.limits) body.request_limits = Number(form.limits);
  if (form.thinking) body.enable_thinking = form.thinking === "on";
  if (form.trust) body.trust_remote_code = true;
  return { ...body, ...argumentsOf(form.args) };
}

/** Lines such as `max_num_seqs=64`; values are JSON where they can be. */
function argumentsOf(text: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const line of text.split("\n")) {
    const [name, ...rest] = line.split("=");
    if (!name.trim() || !rest.length) continue;
    const value = rest.join("=").trim();
    try {
      found[name.trim().replaceAll("-", "_")] = JSON.parse(value);
    } catch {
      found[name.trim().replaceAll("-", "_")] = value;
    }
  }
  return found;
}

const FLAGS: Record<string, string> = { model_size_in_billions: "size-in-billions" };
const quoted = (value: string) => (/^[\w./:@=-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`);

function commandOf(body: Record<string, unknown>): string {
  const words = [body.model_name ? `xinfer launch ${quoted(String(body.model_name))}` : "xinfer launch"];
  for (const [field, value] of Object.entries(body)) {
    if (field === "model_name") continue;
    const flag = `--${FLAGS[field] ?? field.replaceAll("_", "-")}`;
    if (value === true) words.push(flag);
    else if (value === false && (field === "enable_thinking" || field === "trust_remote_code")) words.push(`--no-${flag.slice(2)}`);
    else if (value === null) words.push(`${flag} none`);
    else words.push(`${flag} ${quoted(typeof value === "object" ? JSON.stringify(value) : String(value))}`);
  }
  if (endpoint !== "http://127.0.0.1:9997") words.push(`--endpoint ${endpoint}`);
  return words.join(" \\\n  ");
}

function Same({ body }: { body: Record<string, unknown> }) {
  const [shown, setShown] = useState<"cli" | "curl" | "python">("cli");
  const { model_name, ...rest } = body;
  const python = Object.entries(rest).map(([key, value]) => `, ${key}=${pythonOf(value)}`);
  const takesKey = session.value?.required === true;
  const bearer = takesKey ? `  -H "Authorization: Bearer $XINFER_API_KEY" \\\n` : "";
  const key = takesKey ? `, os.environ["XINFER_API_KEY"]` : "";
  const texts = {
    cli: commandOf(body),
    curl: `curl -X POST ${endpoint}/v1/models \\\n${bearer}  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body).replaceAll("'", `'\\''`)}'`,
    python: `${takesKey ? "import os\n\n" : ""}from xinfer.client import RESTfulClient\n\nwith RESTfulClient("${endpoint}"${key}) as client:\n    client.launch_model(${pythonOf(model_name ?? String(body.model_path).split("/").pop())}${python.join("")})`,
  };
  return (
    <aside class="card same" aria-label={t("same.title")}>
      <div class="card-head">
        <h2>
          <Icon name="book" /> {t("same.title")}
        </h2>
        <div class="chips" role="group" aria-label={t("same.title")}>
          {(["cli", "curl", "python"] as const).map((each) => (
            <button key={each} type="button" class="chip" aria-pressed={shown === each} onClick={() => setShown(each)}>
              {t(`same.${each}`)}
            </button>
          ))}
        </div>
      </div>
      <Code text={texts[shown]} label={t("same.title")} />
    </aside>
  );
}

const pythonOf = (value: unknown) => (value === null ? "None" : value === true ? "True" : value === false ? "False" : JSON.stringify(value));
