// What has happened to a model, and what its engines write.

import { useState } from "preact/hooks";
import { t } from "../i18n";
import { Empty, Head, Skeletons, stateOf } from "../parts";
import { go, route } from "../router";
import { instances, sorted } from "../store";
import { Events, Log, Search } from "./models";

const LINES = [100, 500, 2000];

export function Logs() {
  const [filter, setFilter] = useState("");
  const [lines, setLines] = useState(LINES[0]);
  const uid = route.value[1] ?? sorted.value[0]?.model_uid;
  const model = uid ? instances.value?.get(uid) : undefined;
  return (
    <>
      <Head title={t("logs.title")} lead={t("logs.lead")} />
      {!instances.value && <Skeletons />}
      {instances.value && !sorted.value.length && <Empty icon="logs" title={t("logs.none")} text={t("logs.none.text")} />}
      {uid && instances.value && sorted.value.length > 0 && (
        <>
          <div class="filters">
            <select aria-label={t("logs.model")} value={uid} onChange={(event) => go("logs", event.currentTarget.value)}>
              {sorted.value.map((each) => (
                <option key={each.model_uid}>{each.model_uid}</option>
              ))}
            </select>
            <select aria-label={t("logs.lines")} value={String(lines)} onChange={(event) => setLines(Number(event.currentTarget.value))}>
              {LINES.map((each) => (
                <option key={each} value={String(each)}>
                  {t("logs.last", { n: each })}
                </option>
              ))}
            </select>
            <Search value={filter} onInput={setFilter} label={t("logs.filter")} />
          </div>
          <div class="split even">
            <section class="card">
              <h2>{t("log.title")}</h2>
              <Log uid={uid} lines={lines} filter={filter} />
            </section>
            <section class="card">
              <h2>{t("events.title")}</h2>
              <Events uid={uid} version={model ? stateOf(model) + model.replica_statuses.map((each) => each.model_state).join() : ""} />
            </section>
          </div>
        </>
      )}
    </>
  );
}
