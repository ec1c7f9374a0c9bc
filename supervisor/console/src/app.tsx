// The frame around every page: where one can go, how the cluster is reached, and what a person has chosen.

import { useEffect, useRef } from "preact/hooks";
import { api } from "./api";
import { Choices, Mark } from "./choices";
import { t } from "./i18n";
import { Button, Confirmation, Icon, Skeletons, Toasts, useLoaded } from "./parts";
import { Benchmark } from "./pages/benchmark";
import { Catalog } from "./pages/catalog";
import { Chat } from "./pages/chat";
import { Cluster } from "./pages/cluster";
import { Keys } from "./pages/keys";
import { LaunchFamily, LaunchPath } from "./pages/launch";
import { Login } from "./pages/login";
import { Logs } from "./pages/logs";
import { Models } from "./pages/models";
import { Traffic } from "./pages/traffic";
import { route, to } from "./router";
import { isAlone, logOut, needsLogin, type Rights, rights, session } from "./session";
import { connection } from "./store";

const PLACES = ["models", "catalog", "chat", "benchmark", "cluster", "traffic", "logs", "keys"] as const;
type Place = (typeof PLACES)[number];
/** What one has to be allowed to see a page. */
const NEEDS: Record<Place, keyof Rights> = {
  models: "launch",
  catalog: "launch",
  chat: "infer",
  benchmark: "launch",
  cluster: "launch",
  traffic: "metrics",
  logs: "launch",
  keys: "infer",
};

export function App() {
  const places = PLACES.filter((each) => rights.value[NEEDS[each]]);
  const [asked = "", rest] = route.value;
  const wanted = asked === "launch" ? "catalog" : asked;
  const current = places.find((each) => each === wanted) ?? places[0];
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    // Whoever hears the page rather than sees it is told that another one begins.
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [asked]);
  if (needsLogin.value) {
    return (
      <>
        <Login />
        <Toasts />
      </>
    );
  }
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {t("skip")}
      </a>
      <div class="frame">
        <nav class="side" aria-label={t("nav")}>
          <a class="brand" href={to(places[0] ?? "models")}>
            <Mark />
            <span>xinfer</span>
          </a>
          <ul class="places">
            {places.map((each) => (
              <li key={each}>
                <a href={to(each)} title={t(`nav.${each}`)} aria-current={current === each ? "page" : undefined}>
                  <Icon name={each} size={20} />
                  <span>{t(`nav.${each}`)}</span>
                </a>
              </li>
            ))}
          </ul>
          <Foot />
        </nav>
        <main ref={main} id="main" tabindex={-1} class={current === "chat" ? "is-chat" : ""}>
          {(connection.value === "lost" || isAlone.value) && (
            <div class="notice lost" role="alert">
              {t("connection.lost")}
            </div>
          )}
          {current ? <Page place={asked === "launch" && current === "catalog" ? asked : current} rest={current === wanted ? rest : undefined} /> : <Skeletons />}
        </main>
      </div>
      <Confirmation />
      <Toasts />
    </>
  );
}

function Page({ place, rest }: { place: Place | "launch"; rest?: string }) {
  switch (place) {
    case "models":
      return <Models />;
    case "catalog":
      return rest ? <LaunchFamily key={rest} name={rest} /> : <Catalog />;
    case "launch":
      return <LaunchPath />;
    case "chat":
      return <Chat />;
    case "benchmark":
      return <Benchmark />;
    case "cluster":
      return <Cluster />;
    case "traffic":
      return <Traffic />;
    case "logs":
      return <Logs />;
    case "keys":
      return <Keys />;
  }
}

function Foot() {
  const mayAsk = rights.value.infer;
  const version = useLoaded(async () => (mayAsk ? await api.version() : null), [mayAsk]);
  const key = session.value?.key;
  return (
    <div class="side-foot">
      {key && (
        <div class="who">
          <span title={t("session.who", { name: key.name })}>
            <strong>{key.name}</strong>
            <small class="muted">{t(`scope.${key.scope}`)}</small>
          </span>
          <Button kind="quiet" icon="leave" label={t("session.leave")} onClick={() => logOut()} />
        </div>
      )}
      <span class={`pulse ${connection.value}`} title={t(`connection.${connection.value}`)}>
        <i />
        <span>{version.data ? `xinfer ${version.data.version}` : t(`connection.${connection.value}`)}</span>
      </span>
      <Choices />
    </div>
  );
}
