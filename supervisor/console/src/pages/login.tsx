// Where a key is pasted. It goes to the server once, and is kept by nobody: neither here nor in the browser's storage.

import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api";
import { Choices, Mark } from "../choices";
import { t } from "../i18n";
import { Button, Field, Notice } from "../parts";
import { isOver, logIn } from "../session";
import { sentence } from "../store";

export function Login() {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    document.title = `${t("login.title")} · xinfer`;
  });
  const enter = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await logIn(key.trim());
    } catch (failed) {
      setError(failed instanceof ApiError && failed.status === 401 ? t("login.wrong") : sentence(failed));
      setBusy(false);
    }
  };
  return (
    <main class="login">
      <form class="card" onSubmit={enter}>
        <div class="card-head">
          <span class="brand">
            <Mark />
            <span>xinfer</span>
          </span>
          <Choices />
        </div>
        <div>
          <h1>{t("login.title")}</h1>
          <p class="lead">{t("login.lead")}</p>
        </div>
        {isOver.value && !error && <Notice kind="info">{t("login.over")}</Notice>}
        {error && <Notice kind="bad">{error}</Notice>}
        <Field label={t("login.key")} hint={t("login.hint")}>
          {(id) => (
            <input id={id} class="mono" type="password" autocomplete="off" spellcheck={false} placeholder="xinfer_…" required autofocus value={key} onInput={(event) => setKey(event.currentTarget.value)} />
          )}
        </Field>
        <Button kind="primary" class="wide" type="submit" busy={busy}>
          {t("login.enter")}
        </Button>
      </form>
    </main>
  );
}
