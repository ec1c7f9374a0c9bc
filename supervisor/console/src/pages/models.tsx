// The models that run, launches under way, and those that failed.

import { useEffect, useMemo, useState } from "preact/hooks";
import { api, type Instance, type Progress, type ReplicaProgress, type Stats } from "../api";
import { ago, bytes, clock, count, seconds } from "../format";
import { t, type Key } from "../i18n";
import { Ability, Badge, Button, confirmFirst, Dialog, Empty, Head, Icon, Notice, Rows, Skeletons, stateOf, useLoaded, useWidth } from "../parts";
import { go, route, to } from "../router";
import { ask, attempt, instances, isLaunching, progress, sorted } from "../store";

const STAGES = ["pending", "placing", "downloading", "starting", "loading", "warming_up", "ready"];
const ROW = 84;
const NARROW_ROW = 148;

export function Models() {
  const [words, setWords] = useState("");
  const stats = useLoaded(async () => new Map((await api.stats()).data.map((each) => [each.model_uid, each])), [], 5000);
  const isNarrow = useWidth() < 760;
  const all = sorted.value;
  const { launches, running } = useMemo(() => split(all, words.toLowerCase()), [all, words]);
  const opened = route.value[1] ? instances.value?.get(route.value[1]) : undefined;
  const height = isNarrow ? NARROW_ROW : ROW;
  return (
    <>
      <Head title={t("models.title")} lead={instances.value && sorted.value.length > 0 && summary()}>
        {sorted.value.length > 8 && <Search value={words} onInput={setWords} label={t("models.search")} />}
        <a class="button primary" href={to("catalog")}>
          <Icon name="plus" />
          <span>{t("models.launch")}</span>
        </a>
      </Head>
      {!instances.value && <Skeletons />}
      {instances.value && !sorted.value.length && (
        <Empty icon="models" title={t("models.none")} text={t("models.none.text")}>
          <a class="button primary" href={to("catalog")}>
            {t("models.none.action")}
          </a>
        </Empty>
      )}
      {launches.length > 0 && (
        <div class="stack gap-below">
          {launches.map((each) => (each.status === "ERROR" ? <Failed key={each.model_uid} model={each} /> : <Launch key={each.model_uid} model={each} />))}
        </div>
      )}
      {running.length > 0 && (
        <Rows
          items={running}
          height={height}
          label={t("models.title")}
          row={(each) => <Row key={each.model_uid} model={each} stats={stats.data?.get(each.model_uid)} />}
        />
      )}
      {opened && <Details model={opened} stats={stats.data?.get(opened.model_uid)} />}
    </>
  );
}

const isLaunch = (each: Instance) => isLaunching(each) || each.status === "ERROR";

function split(all: Instance[], words: string): { launches: Instance[]; running: Instance[] } {
  const shown = words ? all.filter((each) => each.model_uid.toLowerCase().includes(words) || each.model_name.toLowerCase().includes(words)) : all;
  return { launches: shown.filter(isLaunch), running: shown.filter((each) => !isLaunch(each)) };
}

export function Search(props: { value: string; onInput: (words: string) => void; label: string }) {
  return (
    <label class="search">
      <Icon name="search" />
      <input type="search" placeholder={props.label} aria-label={props.label} value={props.value} onInput={(event) => props.onInput(event.currentTarget.value)} />
    </label>
  );
}

function summary(): string {
  const all = sorted.value;
  const ready = all.filter((each) => each.status === "READY").length;
  const asleep = all.filter((each) => each.status === "SLEEPING").length;
  const parts = [t("models.ready", { n: count(ready) })];
  if (asleep) parts.push(t("models.asleep", { n: count(asleep) }));
  return parts.join(" · ");
}

function upOf(model: Instance): number {
  return model.replica_statuses.filter((each) => each.status === "READY").length;
}

function nodesOf(model: Instance): string[] {
  return [...new Set(model.replica_statuses.map((each) => each.worker_address).filter((each) => each !== null))];
}

function Row({ model, stats }: { model: Instance; stats?: Stats }) {
  const isUp = model.status === "READY";
  return (
    <li class="row">
      <a class="row-main" href={to("models", model.model_uid)}>
        <span class="row-title">
          <strong>{model.model_uid}</strong>
          <Badge state={stateOf(model)} />
        </span>
        <span class="muted row-sub">
          {model.model_uid !== model.model_name && <span>{model.model_name}</span>}
          <span>{t("models.replicas.of", { up: upOf(model), n: model.replica })}</span>
          <span class="wide-only">{nodesOf(model).join(", ")}</span>
          <span>{ago(model.instance_created_ts)}</span>
        </span>
      </a>
      <dl class="figures">
        <Figure name={t("models.underway")} value={isUp ? count(stats?.in_flight ?? 0) : "–"} />
        <Figure name={t("models.speed")} value={isUp && stats ? speedOf(stats) : "–"} />
        <Figure name={t("models.ttft")} value={stats?.ttft_s ? seconds(stats.ttft_s) : "–"} />
        <Figure name={t("models.kv")} value={isUp && typeof stats?.kv_cache === "number" ? percent(stats.kv_cache) : "–"} />
      </dl>
      <Actions model={model} />
    </li>
  );
}

const percent = (share: number) => `${100 * share < 9.95 ? (100 * share).toFixed(1) : Math.round(100 * share)} %`;
const speedOf = (stats: Stats) => (stats.tokens_per_s === null ? "…" : count(Math.round(stats.tokens_per_s)));

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Actions({ model }: { model: Instance }) {
  const [busy, setBusy] = useState(false);
  const uid = model.model_uid;
  const isUp = model.status === "READY";
  const run = async (work: () => Promise<unknown>, done: string) => {
    setBusy(true);
    await attempt(work, done);
    setBusy(false);
  };
  return (
    <div class="actions">
      {(isUp || model.status === "SLEEPING") && (
        <a class="button" href={to("chat", uid)}>
          <Icon name="chat" />
          <span>{t("models.chat")}</span>
        </a>
      )}
      {isUp && <Button kind="quiet" icon="moon" busy={busy} label={t("models.sleep")} onClick={() => run(() => api.sleep(uid), t("models.sleep.done", { uid }))} />}
      {model.status === "SLEEPING" && <Button kind="quiet" icon="wake" busy={busy} label={t("models.wake")} onClick={() => run(() => api.wake(uid), t("models.wake.done", { uid }))} />}
      <Button kind="quiet" icon="trash" label={t("models.terminate")} disabled={model.status === "TERMINATING"} onClick={() => terminate(model)} />
    </div>
  );
}

function terminate(model: Instance): void {
  const uid = model.model_uid;
  confirmFirst({
    title: t("models.terminate.title", { uid }),
    text: t("models.terminate.text"),
    action: t("models.terminate"),
    run: async () => {
      await api.terminate(uid);
      if (route.value[1] === uid) go("models");
      await ask();
    },
  });
}

function Launch({ model }: { model: Instance }) {
  const state = progress.value[model.model_uid];
  const [busy, setBusy] = useState(false);
  const cancel = async () => {
    setBusy(true);
    await attempt(() => api.cancel(model.model_uid), t("launch.cancelled", { uid: model.model_uid }));
    setBusy(false);
  };
  return (
    <section class="card launch" aria-label={model.model_uid}>
      <div class="card-head">
        <span class="row-title">
          <a href={to("models", model.model_uid)}>
            <strong>{model.model_uid}</strong>
          </a>
          <Badge state={model.status} />
        </span>
        <Button busy={busy} onClick={cancel}>
          {t("launch.cancel")}
        </Button>
      </div>
      <Bar state={state} />
      {state && <Stages state={state} />}
      {state?.replicas.map((each) => <ReplicaLine key={each.replica_id} replica={each} isOnly={state.replicas.length === 1} />)}
    </section>
  );
}

function Bar({ state }: { state?: Progress }) {
  const percent = Math.round((state?.progress ?? 0) * 100);
  return (
    <div class="track tall" role="progressbar" aria-label={t("launch.progress")} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
      <div class="fill moving" style={{ width: `${Math.max(3, percent)}%` }} />
    </div>
  );
}

/** What each stage took, by the launch's own times and those of its slowest replica. */
function Stages({ state }: { state: Progress }) {
  const slowest = state.replicas.reduce((a, b) => (a.progress <= b.progress ? a : b), state.replicas[0]);
  const times = new Map([...state.stages, ...(slowest?.stages ?? [])].map((each) => [each.stage, each.seconds]));
  const now = STAGES.indexOf(state.stage);
  return (
    <ol class="stages">
      {STAGES.filter((stage) => stage !== "downloading" || times.has(stage) || state.stage === stage).map((stage) => {
        const number = STAGES.indexOf(stage);
        const taken = times.get(stage);
        const place = number < now ? "done" : number === now ? "now" : "";
        return (
          <li key={stage} class={place} aria-current={number === now ? "step" : undefined}>
            <i>{number < now && <Icon name="check" size={12} />}</i>
            <span>{t(`stage.${stage}` as Key)}</span>
            {number <= now && typeof taken === "number" && <small>{seconds(taken)}</small>}
          </li>
        );
      })}
    </ol>
  );
}

function ReplicaLine({ replica, isOnly }: { replica: ReplicaProgress; isOnly: boolean }) {
  const load = replica.download;
  const isLoading = replica.stage === "downloading" && load;
  if (isOnly && !replica.info && !isLoading) return null;
  return (
    <p class="muted line">
      {!isOnly && <strong>{t("launch.replica", { n: replica.replica_id + 1, stage: t(`stage.${replica.stage}` as Key) })} </strong>}
      {isLoading ? transfer(load) : replica.info}
    </p>
  );
}

function transfer(load: NonNullable<ReplicaProgress["download"]>): string {
  if (!load.bytes_total) return bytes(load.bytes_done);
  const parts = [t("launch.bytes", { done: bytes(load.bytes_done), total: bytes(load.bytes_total) })];
  if (load.bytes_per_s > 0) {
    parts.push(`${bytes(load.bytes_per_s)}/s`);
    parts.push(t("launch.left", { time: seconds((load.bytes_total - load.bytes_done) / load.bytes_per_s) }));
  }
  parts.push(t("launch.files", { done: load.files_done, total: load.files_total }));
  return parts.join(" · ");
}

function Failed({ model }: { model: Instance }) {
  const [showsLog, setShowsLog] = useState(false);
  return (
    <section class="card failed" aria-label={model.model_uid}>
      <div class="card-head">
        <span class="row-title">
          <strong>{model.model_uid}</strong>
          <Badge state="ERROR" />
        </span>
        <div class="actions">
          <Button kind="quiet" icon="logs" aria-expanded={showsLog} onClick={() => setShowsLog(!showsLog)}>
            {t("launch.log")}
          </Button>
          <a class="button" href={to("catalog", model.model_name)}>
            {t("launch.again")}
          </a>
          <Button kind="quiet" icon="close" label={t("launch.dismiss")} onClick={() => attempt(() => api.terminate(model.model_uid))} />
        </div>
      </div>
      <p class="reason">{model.reason}</p>
      {showsLog && <Log uid={model.model_uid} />}
    </section>
  );
}

export function Log({ uid, lines = 200, filter = "" }: { uid: string; lines?: number; filter?: string }) {
  const log = useLoaded(() => api.log(uid, lines), [uid, lines], 2000);
  if (log.error) return <Notice kind="bad">{log.error}</Notice>;
  if (!log.data) {
    return (
      <div class="log-loading">
        <Skeletons count={1} height={160} />
      </div>
    );
  }
  if (!log.data.replicas.length) return <p class="muted">{t("log.none")}</p>;
  return (
    <>
      {log.data.replicas.map((each) => (
        <div key={each.replica_uid} class="log">
          <p class="muted">{each.replica_uid}</p>
          <LogText text={each.lines.filter((line) => line.toLowerCase().includes(filter.toLowerCase())).join("\n")} />
        </div>
      ))}
    </>
  );
}

/** It stays at the end as it grows, unless somebody has scrolled up to read. */
function LogText({ text }: { text: string }) {
  const [box, setBox] = useState<HTMLPreElement | null>(null);
  const [isAtEnd, setAtEnd] = useState(true);
  useEffect(() => {
    if (box && isAtEnd) box.scrollTop = box.scrollHeight;
  }, [box, text, isAtEnd]);
  return (
    <pre ref={setBox} class="log-text" tabindex={0} role="log" aria-live="off" onScroll={() => box && setAtEnd(box.scrollTop + box.clientHeight >= box.scrollHeight - 24)}>
      {text}
    </pre>
  );
}

function Details({ model, stats }: { model: Instance; stats?: Stats }) {
  const uid = model.model_uid;
  const described = useLoaded(async () => (await api.models()).data.find((each) => each.id === uid) ?? null, [uid, model.status]);
  return (
    <Dialog side title={uid} onClose={() => go("models")}>
      <div class="stack">
        <div class="tags">
          <Badge state={stateOf(model)} />
          {model.model_ability.map((each) => (
            <Ability key={each} name={each} />
          ))}
        </div>
        {model.reason && <Notice kind={model.status === "ERROR" ? "bad" : "info"}>{model.reason}</Notice>}
        <Actions model={model} />
        <dl class="facts">
          <Fact name={t("details.version")} value={model.model_version} />
          <Fact name={t("details.since")} value={clock(model.instance_created_ts)} />
          {described.data && <Fact name={t("details.context")} value={t("details.tokens", { n: count(described.data.context_length) })} />}
          {described.data && <Fact name={t("details.gpus")} value={described.data.n_gpu ? String(described.data.n_gpu) : t("details.cpu")} />}
          {described.data?.idle_timeout && <Fact name={t("details.idle")} value={seconds(described.data.idle_timeout)} />}
          {stats && <Fact name={t("details.hour")} value={t("details.requests", { n: count(stats.requests), errors: count(stats.errors) })} />}
          {typeof stats?.waiting === "number" && <Fact name={t("details.waiting")} value={count(stats.waiting)} />}
        </dl>
        <Replicas model={model} />
        <section>
          <h3>{t("events.title")}</h3>
          <Events uid={uid} version={model.status + upOf(model) + model.replica} />
        </section>
        <section>
          <h3>{t("log.title")}</h3>
          <Log uid={uid} />
        </section>
      </div>
    </Dialog>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Replicas({ model }: { model: Instance }) {
  const [busy, setBusy] = useState(false);
  const uid = model.model_uid;
  const scale = async (work: () => Promise<unknown>, done: string) => {
    setBusy(true);
    await attempt(work, done);
    setBusy(false);
  };
  const fewer = () =>
    confirmFirst({
      title: t("scale.remove.title", { uid }),
      text: t("scale.remove.text"),
      action: t("scale.remove"),
      run: () => api.removeReplica(uid, model.replica - 1),
    });
  return (
    <section>
      <div class="card-head">
        <h3>{t("replicas.title")}</h3>
        <div class="actions" role="group" aria-label={t("scale.label")}>
          <Button kind="quiet" icon="minus" label={t("scale.remove")} disabled={model.status !== "READY" || model.replica < 2} onClick={fewer} />
          <strong class="number">{t("models.replicas.of", { up: upOf(model), n: model.replica })}</strong>
          <Button kind="quiet" icon="plus" label={t("scale.add")} busy={busy} disabled={model.status !== "READY"} onClick={() => scale(() => api.addReplicas(uid, 1), t("scale.added", { uid }))} />
        </div>
      </div>
      <ul class="plain-list">
        {model.replica_statuses.map((each) => (
          <li key={each.replica_uid ?? each.replica_id}>
            <Badge state={each.status} />
            <code>{each.replica_uid}</code>
            <span class="muted">
              {each.worker_address}
              {each.accelerators.length > 0 && ` · GPU ${each.accelerators.join(", ")}`}
            </span>
          </li>
        ))}
        {!model.replica_statuses.length && <li class="muted">{t("replicas.none")}</li>}
      </ul>
    </section>
  );
}

export function Events({ uid, version }: { uid: string; version: string }) {
  const events = useLoaded(() => api.events(uid), [uid, version]);
  if (events.error) return <Notice kind="bad">{events.error}</Notice>;
  if (!events.data) return <Skeletons count={2} height={28} />;
  return (
    <ol class="events">
      {[...events.data].reverse().map((each, number) => (
        <li key={events.data!.length - number} class={each.event_type.toLowerCase()}>
          <time dateTime={new Date(each.event_ts * 1000).toISOString()}>{clock(each.event_ts)}</time>
          <span>{each.event_content}</span>
        </li>
      ))}
    </ol>
  );
}
