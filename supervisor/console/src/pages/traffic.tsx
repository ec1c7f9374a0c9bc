// How many requests there were in the last hour and how long they took, of all models or of one.

import { useState } from "preact/hooks";
import { api, type ModelTraffic, type Period } from "../api";
import { count, seconds } from "../format";
import { t } from "../i18n";
import { Empty, Head, Icon, Notice, Skeletons, useLoaded } from "../parts";
import { session } from "../session";

const NOTHING: ModelTraffic = { requests: 0, errors: 0, in_flight: 0, first_tokens: 0, first_token_seconds: 0, durations: 0, duration_seconds: 0 };
/** Points that a chart has at most; periods of a long time are drawn together. */
const POINTS = 120;

export function Traffic() {
  const [chosen, setChosen] = useState("");
  const traffic = useLoaded(api.traffic, [], 5000);
  const periods = traffic.data?.data ?? [];
  const names = [...new Set(periods.flatMap((each) => Object.keys(each.models)))].sort();
  return (
    <>
      <Head title={t("traffic.title")} lead={t("traffic.lead")}>
        {names.length > 1 && (
          <div class="chips" role="group" aria-label={t("traffic.models")}>
            {names.slice(0, 8).map((each) => (
              <button key={each} type="button" class="chip" aria-pressed={chosen === each} onClick={() => setChosen(chosen === each ? "" : each)}>
                {each}
              </button>
            ))}
          </div>
        )}
        {session.value?.grafana_url && (
          <a class="button" href={session.value.grafana_url} target="_blank" rel="noopener noreferrer">
            <Icon name="traffic" />
            <span>{t("traffic.grafana")}</span>
          </a>
        )}
      </Head>
      {traffic.error && <Notice kind="bad">{traffic.error}</Notice>}
      {!traffic.data && !traffic.error && <Skeletons count={2} height={220} />}
      {traffic.data && !names.length && <Empty icon="traffic" title={t("traffic.none")} text={t("traffic.none.text")} />}
      {names.length > 0 && <Charts periods={periods} names={chosen ? [chosen] : names} />}
      {names.length > 0 && <ByModel periods={periods} names={names} />}
    </>
  );
}

function Charts({ periods, names }: { periods: Period[]; names: string[] }) {
  const points = together(periods, names);
  const first = periods[0]?.at ?? 0;
  const minutes = Math.round((Date.now() / 1000 - first) / 60);
  const rate = (value: number) => t("traffic.per", { n: count(Math.round(value * 100) / 100) });
  const latest = points[points.length - 1];
  const all = sum(points.map((each) => each.sum));
  const length = points.reduce((total, each) => total + each.seconds, 0);
  return (
    <div class="grid charts">
      <Chart title={t("traffic.rate")} minutes={minutes} shown={rate(all.requests / (length || 1))} values={points.map((each) => each.sum.requests / (each.seconds || 1))} unit={rate} />
      <Chart title={t("traffic.underway")} minutes={minutes} shown={count(latest?.sum.in_flight ?? 0)} values={points.map((each) => each.sum.in_flight)} unit={count} />
      <Chart title={t("traffic.first")} minutes={minutes} shown={mean(all.first_token_seconds, all.first_tokens)} values={points.map((each) => ratio(each.sum.first_token_seconds, each.sum.first_tokens))} unit={seconds} />
      <Chart title={t("traffic.duration")} minutes={minutes} shown={mean(all.duration_seconds, all.durations)} values={points.map((each) => ratio(each.sum.duration_seconds, each.sum.durations))} unit={seconds} />
    </div>
  );
}

const ratio = (total: number, number: number) => (number ? total / number : null);
const mean = (total: number, number: number) => (number ? seconds(total / number) : "–");

interface Point {
  seconds: number;
  sum: ModelTraffic;
}

function together(periods: Period[], names: string[]): Point[] {
  const size = Math.max(1, Math.ceil(periods.length / POINTS));
  const found: Point[] = [];
  for (let begin = 0; begin < periods.length; begin += size) {
    const some = periods.slice(begin, begin + size);
    const parts = some.map((each) => sum(names.map((name) => each.models[name] ?? NOTHING)));
    // How many are in flight is no sum over time.
    const in_flight = Math.max(...parts.map((each) => each.in_flight));
    found.push({ seconds: some.reduce((total, each) => total + each.seconds, 0), sum: { ...sum(parts), in_flight } });
  }
  return found;
}

function sum(parts: ModelTraffic[]): ModelTraffic {
  const total = { ...NOTHING };
  for (const part of parts) {
    for (const name of Object.keys(NOTHING) as (keyof ModelTraffic)[]) total[name] += part[name];
  }
  return total;
}

function ByModel({ periods, names }: { periods: Period[]; names: string[] }) {
  return (
    <div class="table-wrap card" tabindex={0}>
      <table>
        <caption class="unseen">{t("traffic.models")}</caption>
        <thead>
          <tr>
            {(["traffic.model", "models.underway", "models.requests", "traffic.errors", "traffic.first", "traffic.duration"] as const).map((each) => (
              <th key={each} scope="col">
                {t(each)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map((uid) => {
            const all = sum(periods.map((each) => each.models[uid] ?? NOTHING));
            return (
              <tr key={uid}>
                <th scope="row">{uid}</th>
                <td>{count(periods[periods.length - 1]?.models[uid]?.in_flight ?? 0)}</td>
                <td>{count(all.requests)}</td>
                <td>{count(all.errors)}</td>
                <td>{mean(all.first_token_seconds, all.first_tokens)}</td>
                <td>{mean(all.duration_seconds, all.durations)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

const WIDTH = 300;
const HEIGHT = 90;

interface ChartProps {
  title: string;
  shown: string;
  minutes: number;
  /** Null where there is nothing to show. */
  values: (number | null)[];
  unit: (value: number) => string;
}

function Chart({ title, shown, minutes, values, unit }: ChartProps) {
  const known = values.filter((each) => each !== null);
  const most = Math.max(...known, 0);
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.flatMap((each, number) => (each === null ? [] : [[number * step, HEIGHT - 4 - (each / (most || 1)) * (HEIGHT - 10)]]));
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  return (
    <figure class="card chart">
      <figcaption>
        <span class="muted">{title}</span>
        <strong>{shown}</strong>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}: ${shown}`}>
        <path class="base" d={`M0 ${HEIGHT - 4}H${WIDTH}`} />
        {points.length > 1 && <polygon points={`${points[0][0].toFixed(1)},${HEIGHT - 4} ${line} ${points[points.length - 1][0].toFixed(1)},${HEIGHT - 4}`} />}
        {points.length > 1 && <polyline points={line} />}
        {points.length === 1 && <path class="mark-one" d={`M${points[0][0].toFixed(1)} ${HEIGHT - 4}V${points[0][1].toFixed(1)}`} />}
      </svg>
      <p class="muted small-text chart-foot">
        <span>{t("traffic.ago", { n: minutes })}</span>
        <span>{t("traffic.most", { n: known.length ? unit(most) : "–" })}</span>
        <span>{t("traffic.now")}</span>
      </p>
    </figure>
  );
}
