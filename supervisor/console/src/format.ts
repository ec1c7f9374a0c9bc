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

export const count = (value: number) => new Intl.NumberFormat(language.value).format(value);

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

export function ago(unix: number): string {
  const past = Math.max(0, Date.now() / 1000 - unix);
  const format = new Intl.RelativeTimeFormat(language.value, { style: "short", numeric: "auto" });
  if (past < 60) return format.format(-Math.round(past), "second");
  if (past < 3600) return format.format(-Math.round(past / 60), "minute");
  if (past < 86400) return format.format(-Math.round(past / 3600), "hour");
  return format.format(-Math.round(past / 86400), "day");
}
