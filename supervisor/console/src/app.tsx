// The frame around every page: where one can go, how the cluster is reached, and what a person has chosen.

import { useEffect, useRef } from "preact/hooks";
import { api } from "./api";
import { t } from "./i18n";
import { Button, Confirmation, Icon, Toasts, useLoaded } from "./parts";
import { Catalog } from "./pages/catalog";
import { Chat } from "./pages/chat";
import { Cluster } from "./pages/cluster";
import { LaunchFamily, LaunchPath } from "./pages/launch";
import { Logs } from "./pages/logs";
import { Models } from "./pages/models";
import { Traffic } from "./pages/traffic";
import { route, to } from "./router";
import { language, theme, type Theme } from "./settings";
import { connection } from "./store";

const PLACES = ["models", "catalog", "chat", "cluster", "traffic", "logs"] as const;
const NEXT_THEME: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const THEME_ICON: Record<Theme, string> = { auto: "auto", light: "sun", dark: "moon" };

export function App() {
  const [place = "models", rest] = route.value;
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    // Whoever hears the page rather than sees it is told that another one begins.
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [place]);
  const current = place === "launch" ? "catalog" : place;
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
          <a class="brand" href={to("models")}>
            <Mark />
            <span>xinfer</span>
          </a>
          <ul class="places">
            {PLACES.map((each) => (
              <li key={each}>
                <a href={to(each)} aria-current={current === each ? "page" : undefined}>
                  <Icon name={each} size={20} />
                  <span>{t(`nav.${each}`)}</span>
                </a>
              </li>
            ))}
          </ul>
          <Foot />
        </nav>
        <main ref={main} id="main" tabindex={-1} class={current === "chat" ? "is-chat" : ""}>
          {connection.value === "lost" && (
            <div class="notice lost" role="alert">
              {t("connection.lost")}
            </div>
          )}
          <Page place={place} rest={rest} />
        </main>
      </div>
      <Confirmation />
      <Toasts />
    </>
  );
}

function Page({ place, rest }: { place: string; rest?: string }) {
  switch (place) {
    case "catalog":
      return rest ? <LaunchFamily key={rest} name={rest} /> : <Catalog />;
    case "launch":
      return <LaunchPath />;
    case "chat":
      return <Chat />;
    case "cluster":
      return <Cluster />;
    case "traffic":
      return <Traffic />;
    case "logs":
      return <Logs />;
    default:
      return <Models />;
  }
}

function Mark() {
  return (
    <svg class="mark" width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path d="M9.5 9.5l13 13M22.5 9.5l-4.6 4.6M9.5 22.5l4.6-4.6" />
    </svg>
  );
}

function Foot() {
  const version = useLoaded(api.version, []);
  const isChinese = language.value === "zh-TW";
  return (
    <div class="side-foot">
      <span class={`pulse ${connection.value}`} title={t(`connection.${connection.value}`)}>
        <i />
        <span>{version.data ? `xinfer ${version.data.version}` : t(`connection.${connection.value}`)}</span>
      </span>
      <div class="side-actions">
        <Button kind="quiet" icon={THEME_ICON[theme.value]} label={t(`theme.${theme.value}`)} onClick={() => (theme.value = NEXT_THEME[theme.value])} />
        <button type="button" class="button quiet only-icon" lang={isChinese ? "en" : "zh-TW"} aria-label={isChinese ? "English" : "繁體中文"} title={isChinese ? "English" : "繁體中文"} onClick={() => (language.value = isChinese ? "en" : "zh-TW")}>
          <span>{isChinese ? "EN" : "中"}</span>
        </button>
      </div>
    </div>
  );
}
