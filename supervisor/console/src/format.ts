import { language } from "./settings";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(count: number): string {
  let power = 0;
  let value = count;
  while (value >= 1024 && power < UNITS.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}

export const gib = (value: number) => (value < 0.1 ? "< 0.1 GiB" : `${value < 100 ? value.toFixed(1) : Math.round(value)} GiB`);

/** Seconds as a short length of time. */
export function seconds(value: number): string {
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 48 * 3600) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} d`;
}

/** Making one of the browser's formats takes longer than a row of a list may; there is one of each per language. */
function perLanguage<T>(make: (language: string) => T): () => T {
  const made = new Map<string, T>();
  return () => {
    let found = made.get(language.value);
    if (!found) made.set(language.value, (found = make(language.value)));
    return found;
  };
}

const numbers = perLanguage((each) => new Intl.NumberFormat(each));
const shortNumbers = perLanguage((each) => new Intl.NumberFormat(each, { notation: "compact" }));
const times = perLanguage((each) => new Intl.RelativeTimeFormat(each, { style: "short", numeric: "auto" }));

export const count = (value: number) => numbers().format(value);
export const compact = (value: number) => shortNumbers().format(value);
export const milliseconds = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

export function tokens(value: number): string {
  if (value >= 1024 * 1024 && value % (1024 * 1024) === 0) return `${value / 1024 / 1024}M`;
  return value >= 1024 ? `${Math.round(value / 1024)}K` : String(value);
}

export function clock(unix: number): string {
  const at = new Date(unix * 1000);
  const isToday = at.toDateString() === new Date().toDateString();
  const options: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  return at.toLocaleString(language.value, isToday ? options : { month: "short", day: "numeric", ...options });
}

const dates = perLanguage((each) => new Intl.DateTimeFormat(each, { year: "numeric", month: "short", day: "numeric" }));

export const day = (unix: number) => dates().format(new Date(unix * 1000));

export function ago(unix: number): string {
  const past = Math.max(0, Date.now() / 1000 - unix);
  const format = times();
  if (past < 60) return format.format(-Math.round(past), "second");
  if (past < 3600) return format.format(-Math.round(past / 60), "minute");
  if (past < 86400) return format.format(-Math.round(past / 3600), "hour");
  return format.format(-Math.round(past / 86400), "day");
}
