// What the cluster counts, of each model: read from Prometheus' text.

export interface Figures {
  requests: number;
  errors: number;
  underWay: number;
  firstTokenSum: number;
  firstTokens: number;
  durationSum: number;
  durations: number;
}

const NAMES: Record<string, keyof Figures> = {
  model_request_total: "requests",
  model_request_errors_total: "errors",
  model_serve_count: "underWay",
  time_to_first_token_seconds_sum: "firstTokenSum",
  time_to_first_token_seconds_count: "firstTokens",
  model_request_duration_seconds_sum: "durationSum",
  model_request_duration_seconds_count: "durations",
};
const LINE = /^xinference:(\w+)\{([^}]*)\} (\S+)/;
const UID = /model_uid="([^"]*)"/;

export function readMetrics(text: string): Map<string, Figures> {
  const found = new Map<string, Figures>();
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    const name = match && NAMES[match[1]];
    const uid = match && UID.exec(match[2])?.[1];
    if (!name || !uid) continue;
    let figures = found.get(uid);
    if (!figures) {
      figures = { requests: 0, errors: 0, underWay: 0, firstTokenSum: 0, firstTokens: 0, durationSum: 0, durations: 0 };
      found.set(uid, figures);
    }
    figures[name] = Number(match[3]);
  }
  return found;
}
