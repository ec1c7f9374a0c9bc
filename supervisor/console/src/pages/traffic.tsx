// How many requests there are and how long they take, counted since this page was opened.

import { effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { api } from "../api";
import { count, seconds } from "../format";
import { t } from "../i18n";
import { type Figures, readMetrics } from "../metrics";
import { Empty, Head, Notice, Skeletons } from "../parts";
import { sentence } from "../store";

interface Sample {
  at: number;
  models: Map<string, Figures>;
}

const PERIOD_MS = 5000;
const KEPT = 720; // an hour

const samples = signal<Sample[]>([]);
const failure = signal<string | null>(null);
const isWatched = signal(false);

// Samples go on being taken while another page of the console is shown, so that coming back shows no gap.
effect(() => {
  if (!isWatched.value) return;
  const take = async () => {
    if (document.hidden) return;
    try {
      const models = readMetrics(await api.metrics());
      samples.value = [...samples.peek().slice(1 - KEPT), { at: Date.now(), models }];
      failure.value = null;
    } catch (error) {
      failure.value = sentence(error);
    }
  };
  void take();
  const timer = setInterval(take, PERIOD_MS);
  return () => clearInterval(timer);
});

export function Traffic() {
  useEffect(() => void (isWatched.value = true), []);
  const all = samples.value;
  const last = all[all.length - 1];
  const first = all[0];
  return (
    <>
      <Head title={t("traffic.title")} lead={t("traffic.lead")} />
      {failure.value && <Notice kind="bad">{failure.value}</Notice>}
      {!last && !failure.value && <Skeletons count={2} height={220} />}
      {last && !last.models.size && <Empty icon="traffic" title={t("traffic.none")} text={t("traffic.none.text")} />}
      {last && last.models.size > 0 && (
        <>
          <div class="grid charts">
            <Chart title={t("traffic.rate")} values={rates(all)} unit={(value) => t("traffic.per", { n: count(Math.round(value * 100) / 100) })} />
            <Chart title={t("traffic.underway")} values={all.map((each) => sum(each, "underWay"))} unit={count} />
            <Chart title={t("traffic.first")} values={means(all, "firstTokenSum", "firstTokens")} unit={seconds} />
            <Chart title={t("traffic.duration")} values={means(all, "durationSum", "durations")} unit={seconds} />
          </div>
          <div class="table-wrap card" tabindex={0}>
            <table>
              <caption class="unseen">{t("traffic.models")}</caption>
              <thead>
                <tr>
                  {(["traffic.model", "models.underway", "models.requests", "traffic.since", "traffic.errors", "models.ttft", "traffic.duration"] as const).map((each) => (
                    <th key={each} scope="col">
                      {t(each)}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {[...last.models].map(([uid, now]) => (
                  <tr key={uid}>
                    <th scope="row">{uid}</th>
                    <td>{count(now.underWay)}</td>
                    <td>{count(now.requests)}</td>
                    <td>{count(now.requests - (first.models.get(uid)?.requests ?? 0))}</td>
                    <td>{count(now.errors)}</td>
                    <td>{now.firstTokens ? seconds(now.firstTokenSum / now.firstTokens) : "–"}</td>
                    <td>{now.durations ? seconds(now.durationSum / now.durations) : "–"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </>
  );
}

const sum = (sample: Sample, name: keyof Figures) => [...sample.models.values()].reduce((total, each) => total + each[name], 0);

function rates(all: Sample[]): (number | null)[] {
  return all.map((each, number) => {
    const before = all[number - 1];
    if (!before) return null;
    return Math.max(0, sum(each, "requests") - sum(before, "requests")) / ((each.at - before.at) / 1000);
  });
}

/** The mean of what came between two samples; null where nothing did. */
function means(all: Sample[], total: keyof Figures, number: keyof Figures): (number | null)[] {
  return all.map((each, place) => {
    const before = all[place - 1];
    const came = before ? sum(each, number) - sum(before, number) : 0;
    return before && came > 0 ? (sum(each, total) - sum(before, total)) / came : null;
  });
}

const WIDTH = 300;
const HEIGHT = 90;

function Chart({ title, values, unit }: { title: string; values: (number | null)[]; unit: (value: number) => string }) {
  const known = values.filter((each) => each !== null);
  const most = Math.max(...known, 0) || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.flatMap((each, number) => (each === null ? [] : [[number * step, HEIGHT - 4 - (each / most) * (HEIGHT - 10)]]));
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const latest = known[known.length - 1];
  return (
    <figure class="card chart">
      <figcaption>
        <span class="muted">{title}</span>
        <strong>{latest === undefined ? "–" : unit(latest)}</strong>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}: ${latest === undefined ? "–" : unit(latest)}`}>
        <path class="base" d={`M0 ${HEIGHT - 4}H${WIDTH}`} />
        {points.length > 1 && <polygon points={`${points[0][0].toFixed(1)},${HEIGHT - 4} ${line} ${points[points.length - 1][0].toFixed(1)},${HEIGHT - 4}`} />}
        {points.length > 1 && <polyline points={line} />}
        {points.length === 1 && <circle cx={points[0][0]} cy={points[0][1]} r="2.5" />}
      </svg>
      <p class="muted small-text">{t("traffic.most", { n: known.length ? unit(Math.max(...known)) : "–" })}</p>
    </figure>
  );
}
