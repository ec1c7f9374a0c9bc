// Loads a model with a profile, shows what is measured as it comes, and lays two runs over each other.

import { useEffect, useState } from "preact/hooks";
import { api, benchmarkUrl, type Latency, type Leg, type Profile, type Run } from "../api";
import { ago, count, milliseconds, seconds } from "../format";
import { t, type Key } from "../i18n";
import { Badge, Button, Empty, Field, Head, Notice, Skeletons, useLoaded } from "../parts";
import { type Line, Plot } from "../plot";
import { go, route, to } from "../router";
import { attempt, instances, sentence, toast, usable } from "../store";

export function Benchmark() {
  const [, id, other] = route.value;
  const list = useLoaded(api.benchmarks, [id, other]);
  // Those that were deleted here, until the list knows it.
  const [gone, setGone] = useState<string[]>([]);
  const runs = (list.data?.data ?? []).filter((each) => !gone.includes(each.id));
  const latest = id ?? runs[0]?.id;
  return (
    <>
      <Head title={t("bench.title")} lead={t("bench.lead")} />
      {list.error && <Notice kind="bad">{list.error}</Notice>}
      {(!list.data || !instances.value) && !list.error && <Skeletons count={2} height={180} />}
      {list.data && instances.value && <Start profiles={list.data.profiles} isBusy={runs.some((each) => each.state === "running")} onStarted={list.again} />}
      {latest && <Shown key={`${latest} ${other ?? ""}`} id={latest} other={other} onEnd={list.again} />}
      {list.data && !runs.length && !latest && <Empty icon="benchmark" title={t("bench.none")} text={t("bench.none.text")} />}
      {runs.length > 0 && <Runs runs={runs} shown={latest} other={other} onForgotten={(run) => setGone([...gone, run])} />}
    </>
  );
}

function Start({ profiles, isBusy, onStarted }: { profiles: Profile[]; isBusy: boolean; onStarted: () => void }) {
  const names = usable.value.map((each) => each.model_uid);
  const [model, setModel] = useState("");
  const [chosen, setChosen] = useState(profiles[0].name);
  const [busy, setBusy] = useState(false);
  const uid = names.includes(model) ? model : names[0];
  const start = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const run = await api.startBenchmark(uid, chosen);
      onStarted();
      go("benchmark", run.id);
    } catch (error) {
      toast(sentence(error), "error");
    }
    setBusy(false);
  };
  return (
    <form class="card form gap-below" onSubmit={start}>
      <div class="bench-start">
        <Field label={t("bench.model")}>
          {(field) => (
            <select id={field} value={uid} disabled={!names.length} onChange={(event) => setModel(event.currentTarget.value)}>
              {names.map((each) => (
                <option key={each}>{each}</option>
              ))}
              {!names.length && <option>{t("bench.nomodel")}</option>}
            </select>
          )}
        </Field>
        <Button kind="primary" icon="benchmark" type="submit" busy={busy} disabled={!uid || isBusy}>
          {t("bench.start")}
        </Button>
      </div>
      <fieldset class="choice">
        <legend>{t("bench.profile")}</legend>
        <div class="options profiles">
          {profiles.map((each) => (
            <label key={each.name} class={`option ${each.name === chosen ? "chosen" : ""}`}>
              <input type="radio" name="profile" checked={each.name === chosen} onChange={() => setChosen(each.name)} />
              <strong>{t(`profile.${each.name}` as Key)}</strong>
              <span class="line muted">{t(`profile.${each.name}.text` as Key)}</span>
              <span class="line small-text muted">{shape(each)}</span>
            </label>
          ))}
        </div>
      </fieldset>
    </form>
  );
}

function shape(profile: Profile): string {
  const parts = [t("bench.levels", { n: profile.levels.join(", ") }), t("bench.tokens", { prompt: count(profile.prompt_tokens), output: count(profile.output_tokens) })];
  if (profile.turns > 1) parts.push(t("bench.turns", { n: profile.turns }));
  return parts.join(" · ");
}

/** The run as it is now; its stream ends with it. */
function useRun(id: string | undefined, onEnd?: () => void): { run: Run | null; error: string | null } {
  const [run, setRun] = useState<Run | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    if (!id) return;
    let source: EventSource | null = null;
    let isWanted = true;
    const take = (found: Run) => {
      if (isWanted) setRun(found);
      if (found.state !== "running") source?.close();
    };
    const begin = async () => {
      try {
        const found = await api.benchmark(id);
        take(found);
        if (found.state !== "running" || !isWanted) return;
        source = new EventSource(benchmarkUrl(id));
        source.addEventListener("run", (event) => {
          const latest = JSON.parse((event as MessageEvent).data) as Run;
          take(latest);
          if (latest.state !== "running") onEnd?.();
        });
      } catch (failed) {
        if (isWanted) setError(sentence(failed));
      }
    };
    void begin();
    return () => {
      isWanted = false;
      source?.close();
    };
  }, [id]);
  return { run, error };
}

function Shown({ id, other, onEnd }: { id: string; other?: string; onEnd: () => void }) {
  const first = useRun(id, onEnd);
  const second = useRun(other);
  const run = first.run;
  if (first.error) return <Notice kind="bad">{first.error}</Notice>;
  if (!run) return <Skeletons count={1} height={220} />;
  return (
    <section class="stack gap-below" aria-label={nameOf(run)}>
      <div class="card">
        <div class="card-head">
          <h2>
            {nameOf(run)}
            {second.run && ` ${t("bench.versus")} ${nameOf(second.run)}`}
          </h2>
          <span class="row-title">
            <State run={run} />
            {run.state === "running" && <Button onClick={() => attempt(() => api.endBenchmark(run.id))}>{t("bench.cancel")}</Button>}
            {other && (
              <a class="button" href={to("benchmark", id)}>
                {t("bench.alone")}
              </a>
            )}
          </span>
        </div>
        {run.state === "running" && <Live run={run} />}
        {run.error && <p class="reason">{run.error}</p>}
        {run.legs.length > 0 && <Table first={run} second={second.run} />}
      </div>
      {run.legs.length > 0 && <Plots first={run} second={second.run} />}
    </section>
  );
}

const nameOf = (run: Run) => `${run.model_uid} · ${t(`profile.${run.profile}` as Key)}`;
const BADGES: Record<Run["state"], string> = { running: "RUNNING", done: "DONE", failed: "ERROR", cancelled: "CANCELLED" };

function State({ run }: { run: Run }) {
  return <Badge state={BADGES[run.state]} />;
}

function Live({ run }: { run: Run }) {
  const level = run.levels[run.legs.length];
  const share = run.requests_total ? run.requests_done / run.requests_total : 0;
  const percent = Math.round((100 * (run.legs.length + Math.min(1, share))) / Math.max(1, run.levels.length));
  return (
    <div class="bench-live">
      <div class="track tall" role="progressbar" aria-label={t("bench.progress")} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
        <div class="fill moving" style={{ width: `${Math.max(3, percent)}%` }} />
      </div>
      <p class="muted line">{level ? t("bench.now", { n: level, done: run.requests_done, total: run.requests_total || "…" }) : t("bench.ending")}</p>
    </div>
  );
}

type Measure = (leg: Leg) => number | null;

const SPEED: Measure = (leg) => leg.tokens_per_s;
const at = (what: "ttft_ms" | "itl_ms" | "e2e_ms", share: keyof Latency): Measure => (leg) => leg[what]?.[share] ?? null;

function valuesOf(run: Run, measure: Measure): Map<number, number | null> {
  return new Map(run.legs.map((leg, number) => [run.levels[number], measure(leg)]));
}

function levelsOf(first: Run, second: Run | null): number[] {
  return [...new Set([...first.levels, ...(second?.levels ?? [])])].sort((a, b) => a - b);
}

function Plots({ first, second }: { first: Run; second: Run | null }) {
  const levels = levelsOf(first, second);
  const names = second ? [`A ${first.model_uid}`, `B ${second.model_uid}`] : ["", ""];
  const both = (name: string, measure: Measure, soft = false): Line[] => {
    const lines: Line[] = [{ name: `${names[0]} ${name}`.trim(), kind: soft ? "first soft" : "first", values: valuesOf(first, measure) }];
    if (second) lines.push({ name: `${names[1]} ${name}`.trim(), kind: soft ? "second soft" : "second", values: valuesOf(second, measure) });
    return lines;
  };
  return (
    <div class="grid plots">
      <Plot title={t("bench.speed")} unit={t("bench.speed.unit")} levels={levels} lines={both(t("bench.all"), SPEED)} />
      <Plot title={t("bench.ttft")} unit={t("bench.ms.unit")} levels={levels} lines={[...both("p50", at("ttft_ms", "p50")), ...both("p99", at("ttft_ms", "p99"), true)]} />
      <Plot title={t("bench.itl")} unit={t("bench.ms.unit")} levels={levels} lines={[...both("p50", at("itl_ms", "p50")), ...both("p99", at("itl_ms", "p99"), true)]} />
    </div>
  );
}

const COLUMNS: [Key, Measure, (value: number) => string][] = [
  ["bench.column.speed", SPEED, (value) => count(Math.round(value * 10) / 10)],
  ["bench.column.ttft", at("ttft_ms", "p50"), milliseconds],
  ["bench.column.ttft99", at("ttft_ms", "p99"), milliseconds],
  ["bench.column.itl", at("itl_ms", "p50"), milliseconds],
  ["bench.column.e2e", at("e2e_ms", "p50"), milliseconds],
];

function Table({ first, second }: { first: Run; second: Run | null }) {
  const legs = (run: Run | null, level: number) => (run ? run.legs[run.levels.indexOf(level)] : undefined);
  return (
    <div class="table-wrap" tabindex={0}>
      <table>
        <caption class="unseen">{nameOf(first)}</caption>
        <thead>
          <tr>
            <th scope="col">{t("bench.column.streams")}</th>
            {COLUMNS.map(([name]) => (
              <th key={name} scope="col">
                {t(name)}
              </th>
            ))}
            <th scope="col">{t("bench.column.errors")}</th>
          </tr>
        </thead>
        <tbody>
          {levelsOf(first, second).map((level) => {
            const a = legs(first, level);
            const b = legs(second, level);
            if (!a && !b) return null;
            return (
              <tr key={level}>
                <th scope="row">{level}</th>
                {COLUMNS.map(([name, measure, form]) => (
                  <td key={name}>{compared(a && measure(a), second ? (b && measure(b)) ?? null : undefined, form)}</td>
                ))}
                <td>{[a, b].filter((each) => each !== undefined).map((each) => count(failuresOf(each))).join(" / ")}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

const failuresOf = (leg: Leg) => Object.values(leg.errors).reduce((sum, each) => sum + each, 0);

/** One value, or A's and B's with the difference; `b` is undefined without a second run. */
function compared(a: number | null | undefined, b: number | null | undefined, form: (value: number) => string) {
  const shown = a === null || a === undefined ? "–" : form(a);
  if (b === undefined) return shown;
  const beside = b === null ? "–" : form(b);
  const change = a && b ? `${b >= a ? "+" : "−"}${Math.abs(Math.round((100 * (b - a)) / a))} %` : "";
  return (
    <>
      {shown} / {beside} <small class="muted change">{change}</small>
    </>
  );
}

function Runs({ runs, shown, other, onForgotten }: { runs: Run[]; shown?: string; other?: string; onForgotten: (id: string) => void }) {
  const forget = async (run: Run) => {
    if (!(await attempt(() => api.endBenchmark(run.id)))) return;
    onForgotten(run.id);
    if (run.id === shown || run.id === other) go("benchmark");
  };
  return (
    <section class="card">
      <h2>{t("bench.runs")}</h2>
      <ul class="plain-list runs">
        {runs.map((run) => (
          <li key={run.id}>
            <a href={to("benchmark", run.id)} aria-current={run.id === shown ? "true" : undefined}>
              {nameOf(run)}
            </a>
            <State run={run} />
            <span class="muted small-text">
              {[ago(run.began_at), run.ended_at && seconds(run.ended_at - run.began_at), run.started_by].filter(Boolean).join(" · ")}
            </span>
            <span class="actions push">
              {shown && run.id !== shown && run.id !== other && run.legs.length > 0 && (
                <a class="button quiet small" href={to("benchmark", shown, run.id)}>
                  {t("bench.compare")}
                </a>
              )}
              {run.state !== "running" && <Button kind="quiet" class="small" icon="trash" label={t("bench.forget")} onClick={() => forget(run)} />}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
