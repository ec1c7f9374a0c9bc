// A plot of lines over a few levels, drawn as SVG: no library, and every number is in the table beside it, too.

import { count } from "./format";

const WIDTH = 420;
const HEIGHT = 210;
const LEFT = 52;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 26;

export interface Line {
  name: string;
  /** How it is drawn: the two runs of a comparison, and percentiles beside the median. */
  kind: "first" | "second" | "first soft" | "second soft";
  /** By level; null where nothing was measured. */
  values: Map<number, number | null>;
}

/** Round numbers from 0 to what is above `most`. */
function ticksTo(most: number): number[] {
  if (!(most > 0)) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((each) => each * power >= rough)! * power;
  const ticks = [0];
  while (ticks[ticks.length - 1] < most) ticks.push(Number((ticks.length * step).toPrecision(12)));
  return ticks;
}

export function Plot({ title, unit, levels, lines }: { title: string; unit: string; levels: number[]; lines: Line[] }) {
  const known = lines.flatMap((line) => [...line.values.values()].filter((value) => value !== null));
  const ticks = ticksTo(Math.max(0, ...known));
  const top = ticks[ticks.length - 1];
  const x = (level: number) => {
    const place = levels.indexOf(level);
    const share = levels.length > 1 ? place / (levels.length - 1) : 0.5;
    return LEFT + 10 + share * (WIDTH - LEFT - RIGHT - 20);
  };
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  return (
    <figure class="card plot">
      <figcaption>
        <strong>{title}</strong>
        <span class="muted small-text">{unit}</span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${title}, ${unit}`}>
        {ticks.map((tick) => (
          <g key={tick}>
            <path class="grid-line" d={`M${LEFT} ${y(tick).toFixed(1)}H${WIDTH - RIGHT}`} />
            <text class="tick" x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
              {count(tick)}
            </text>
          </g>
        ))}
        {levels.map((level) => (
          <text key={level} class="tick" x={x(level)} y={HEIGHT - 6} text-anchor="middle">
            {level}
          </text>
        ))}
        {lines.map((line) => (
          <Curve key={line.name} line={line} points={levels.flatMap((level) => pointOf(line, level, x, y))} />
        ))}
      </svg>
      <ul class="legend">
        {lines.map((line) => (
          <li key={line.name}>
            <i class={line.kind} />
            {line.name}
          </li>
        ))}
      </ul>
    </figure>
  );
}

function pointOf(line: Line, level: number, x: (level: number) => number, y: (value: number) => number): [number, number][] {
  const value = line.values.get(level);
  return value === null || value === undefined ? [] : [[x(level), y(value)]];
}

function Curve({ line, points }: { line: Line; points: [number, number][] }) {
  return (
    <g class={`curve ${line.kind}`}>
      {points.length > 1 && <polyline points={points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ")} />}
      {points.map(([x, y]) => (
        <circle key={x} cx={x} cy={y} r="3.6" />
      ))}
    </g>
  );
}
