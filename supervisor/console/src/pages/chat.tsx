// Talks with one model, or with two side by side.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Described } from "../api";
import { askModel, toolsOf } from "../ask_model";
import { type Answer, type Conversation, conversations, forget, keep, loadConversations, newId, NO_OPTIONS, type Options, toMarkdown, type Turn } from "../conversations";
import { ago, count, seconds } from "../format";
import { t } from "../i18n";
import { Markdown } from "../markdown";
import { Badge, Button, confirmFirst, Copy, Dialog, Empty, Field, Icon, Skeletons, stateOf, useLoaded } from "../parts";
import { route, to } from "../router";
import { rights } from "../session";
import { instances, toast, usable } from "../store";

export function Chat() {
  useEffect(() => void loadConversations(), []);
  useEffect(() => {
    document.title = `${t("chat.title")} · xinfer`;
  });
  const [current, setCurrent] = useState<Conversation | null>(null);
  const [blank] = useState(() => fresh([]));
  const [showsList, setShowsList] = useState(false);
  const models = useLoaded(async () => (await api.models()).data, [usable.value.map((each) => each.model_uid).join()]);
  const asked = route.value[1];
  const speakers = usable.value.filter((each) => each.model_ability.includes("chat"));

  useEffect(() => {
    // Whoever comes from a model's page wants to talk with that one.
    if (asked && (!current || !current.models.includes(asked))) setCurrent(fresh([asked]));
  }, [asked]);

  if (!instances.value) return <Skeletons count={3} />;
  if (!speakers.length && !conversations.value.length) {
    return (
      <>
        <h1 class="unseen">{t("chat.title")}</h1>
        <Empty icon="chat" title={t("chat.none")} text={t(rights.value.launch ? "chat.none.text" : "chat.none.key")}>
          {rights.value.launch && (
            <a class="button primary" href={to("catalog")}>
              {t("models.none.action")}
            </a>
          )}
        </Empty>
      </>
    );
  }
  const names = speakers.map((each) => each.model_uid);
  const shown = current ?? { ...blank, models: names.slice(0, 1) };
  return (
    <div class="chat-page">
      <History current={shown.id} isShown={showsList} onClose={() => setShowsList(false)} onOpen={setCurrent} onNew={() => setCurrent(fresh(shown.models.filter((each) => names.includes(each)).concat(names).slice(0, 1)))} />
      <Talk key={shown.id} start={shown} names={names} described={models.data ?? []} onHistory={() => setShowsList(true)} onStarted={setCurrent} />
    </div>
  );
}

function fresh(models: string[]): Conversation {
  return { id: newId(), title: "", changed: 0, models, options: NO_OPTIONS, turns: [] };
}

function History(props: { current: string; isShown: boolean; onClose: () => void; onOpen: (conversation: Conversation) => void; onNew: () => void }) {
  const open = (each: Conversation) => {
    props.onOpen(each);
    props.onClose();
  };
  const list = (
    <>
      <Button
        icon="plus"
        class="wide"
        onClick={() => {
          props.onNew();
          props.onClose();
        }}
      >
        {t("chat.new")}
      </Button>
      <ul class="history" aria-label={t("chat.history")}>
        {conversations.value.map((each) => (
          <li key={each.id} class={each.id === props.current ? "current" : ""}>
            <button type="button" onClick={() => open(each)} aria-current={each.id === props.current ? "true" : undefined}>
              <span class="clip">{each.title}</span>
              <small class="muted">{ago(each.changed / 1000)}</small>
            </button>
            <Button
              kind="quiet"
              class="small"
              icon="trash"
              label={t("chat.forget", { title: each.title })}
              onClick={() =>
                confirmFirst({
                  title: t("chat.forget.title"),
                  text: each.title,
                  action: t("chat.forget.action"),
                  run: async () => {
                    forget(each.id);
                    if (each.id === props.current) props.onNew();
                  },
                })
              }
            />
          </li>
        ))}
      </ul>
      <p class="muted small-text">{t("chat.private")}</p>
    </>
  );
  return (
    <>
      <aside class="history-side" aria-label={t("chat.history")}>
        {list}
      </aside>
      {props.isShown && (
        <Dialog side title={t("chat.history")} onClose={props.onClose}>
          {list}
        </Dialog>
      )}
    </>
  );
}

interface TalkProps {
  start: Conversation;
  names: string[];
  described: Described[];
  onHistory: () => void;
  onStarted: (conversation: Conversation) => void;
}

function Talk({ start, names, described, onHistory, onStarted }: TalkProps) {
  const [talk, setTalk] = useState(start);
  const [thinks, setThinks] = useState<boolean | null>(null);
  const [showsOptions, setShowsOptions] = useState(false);
  const [busy, setBusy] = useState(false);
  const stopper = useRef<AbortController | null>(null);
  const latest = useRef(talk);
  const end = useRef<HTMLDivElement>(null);
  const isFollowing = useRef(true);

  useEffect(() => {
    if (!talk.models.length && names.length) setTalk({ ...talk, models: names.slice(0, 1) });
  }, [names.length]);
  // An answer goes on only as long as somebody sees it come.
  useEffect(() => () => stopper.current?.abort(), []);
  useEffect(() => {
    const look = () => (isFollowing.current = innerHeight + scrollY >= document.documentElement.scrollHeight - 120);
    addEventListener("scroll", look, { passive: true });
    return () => removeEventListener("scroll", look);
  }, []);
  useEffect(() => {
    if (isFollowing.current && talk.turns.length) end.current?.scrollIntoView({ block: "end" });
  }, [talk]);

  const change = (next: Conversation) => {
    latest.current = next;
    setTalk(next);
  };
  const facts = talk.models.map((uid) => described.find((each) => each.id === uid));
  const canSwitch = facts.some((each) => each?.thinking === "switch");
  const canSee = facts.some((each) => each?.model_ability.includes("vision"));
  const isThinking = thinks ?? facts.find((each) => each?.thinking === "switch")?.enable_thinking ?? true;

  const answer = async (turns: Turn[], columns: number[]) => {
    const stop = new AbortController();
    stopper.current = stop;
    isFollowing.current = true;
    const last = turns[turns.length - 1];
    const title = latest.current.title || titleOf(turns[0]);
    change({ ...latest.current, title, turns });
    setBusy(true);
    await Promise.all(
      columns.map((column) => {
        const uid = talk.models[column];
        const thinking = described.find((each) => each.id === uid)?.thinking === "switch" ? isThinking : null;
        const put = (found: Answer) => change({ ...latest.current, turns: latest.current.turns.map((each) => (each.id === last.id ? { ...each, answers: withAnswer(each.answers, column, found) } : each)) });
        return askModel({ model: uid, options: talk.options, turns, column, thinking }, put, stop.signal);
      }),
    );
    setBusy(false);
    keep(latest.current);
    onStarted(latest.current);
  };
  const send = (text: string, images: string[]) => {
    const turn: Turn = { id: newId(), text, images, answers: [] };
    void answer([...talk.turns, turn], talk.models.map((_, column) => column));
  };
  const again = (number: number, column: number) => {
    const kept = talk.turns.slice(0, number + 1);
    kept[number] = { ...kept[number], answers: talk.models.length > 1 ? kept[number].answers : [] };
    void answer(kept, [column]);
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([toMarkdown(talk)], { type: "text/markdown" }));
    link.download = `${talk.title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40) || "chat"}.md`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  return (
    <section class="talk" aria-label={t("chat.title")}>
      <h1 class="unseen">{t("chat.title")}</h1>
      <div class="talk-head">
        <Button kind="quiet" icon="list" label={t("chat.history")} class="narrow-only" onClick={onHistory} />
        {talk.models.map((uid, column) => (
          <ModelSelect key={column} value={uid} names={names} label={column ? t("chat.model.second") : t("chat.model")} onChange={(next) => change({ ...talk, models: talk.models.map((each, number) => (number === column ? next : each)) })} />
        ))}
        <div class="actions push">
          {talk.models.length === 1 ? (
            <Button kind="quiet" icon="columns" label={t("chat.compare")} disabled={busy || !names.length} onClick={() => change({ ...talk, models: [...talk.models, names.find((each) => each !== talk.models[0]) ?? names[0]] })} />
          ) : (
            <Button kind="quiet" icon="close" label={t("chat.compare.end")} disabled={busy} onClick={() => change({ ...talk, models: talk.models.slice(0, 1) })} />
          )}
          <Button kind="quiet" icon="save" label={t("chat.export")} disabled={!talk.turns.length} onClick={save} />
          <Button kind="quiet" icon="tune" label={t("chat.options")} aria-expanded={showsOptions} onClick={() => setShowsOptions(!showsOptions)} />
        </div>
      </div>
      <div class="turns" aria-live="off">
        {!talk.turns.length && (
          <div class="welcome">
            <h2>{t("chat.welcome")}</h2>
            <p class="muted">{t("chat.welcome.text", { model: talk.models.join(" · ") })}</p>
            <div class="chips">
              {(["chat.try.1", "chat.try.2", "chat.try.3"] as const).map((each) => (
                <button key={each} type="button" class="chip" disabled={!talk.models.length} onClick={() => send(t(each), [])}>
                  {t(each)}
                </button>
              ))}
            </div>
          </div>
        )}
        {talk.turns.map((turn, number) => (
          <TurnView key={turn.id} turn={turn} columns={Math.max(talk.models.length, turn.answers.length)} busy={busy && number === talk.turns.length - 1} locked={busy} onAgain={(column) => again(number, column)} />
        ))}
        <div ref={end} class="turns-end" />
      </div>
      <Composer
        busy={busy}
        canSend={talk.models.length > 0 && talk.models.every((each) => names.includes(each))}
        canSee={canSee}
        thinking={canSwitch ? isThinking : null}
        onThinking={setThinks}
        onSend={send}
        onStop={() => stopper.current?.abort()}
      />
      {showsOptions && <OptionsPanel options={talk.options} onChange={(options) => change({ ...talk, options })} onClose={() => setShowsOptions(false)} />}
    </section>
  );
}

const titleOf = (turn: Turn) => turn.text.replace(/\s+/g, " ").trim().slice(0, 60) || "…";

function withAnswer(answers: Answer[], column: number, answer: Answer): Answer[] {
  const next = [...answers];
  next[column] = answer;
  return next;
}

function ModelSelect(props: { value: string; names: string[]; label: string; onChange: (uid: string) => void }) {
  const model = instances.value?.get(props.value);
  const isGone = !props.names.includes(props.value);
  return (
    <span class="model-select">
      <select aria-label={props.label} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        {isGone && <option value={props.value}>{props.value ? t("chat.gone", { uid: props.value }) : t("chat.choose")}</option>}
        {props.names.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
      {model && stateOf(model) !== "READY" && <Badge state={stateOf(model)} />}
    </span>
  );
}

function TurnView(props: { turn: Turn; columns: number; busy: boolean; locked: boolean; onAgain: (column: number) => void }) {
  const { turn } = props;
  return (
    <article class="turn">
      <div class="said">
        {turn.images.map((url) => (
          <img key={url} src={url} alt={t("chat.image")} />
        ))}
        <p>{turn.text}</p>
      </div>
      <div class={props.columns > 1 ? "answers two" : "answers"}>
        {Array.from({ length: props.columns }, (_, column) => (
          <AnswerView key={column} answer={turn.answers[column]} showsModel={props.columns > 1} busy={props.busy} locked={props.locked} onAgain={() => props.onAgain(column)} />
        ))}
      </div>
    </article>
  );
}

function AnswerView({ answer, showsModel, busy, locked, onAgain }: { answer?: Answer; showsModel: boolean; busy: boolean; locked: boolean; onAgain: () => void }) {
  const [showsRaw, setShowsRaw] = useState(false);
  if (!answer) return <div class="answer">{busy && <Waiting />}</div>;
  const isOpen = busy && answer.seconds === undefined;
  return (
    <div class="answer" aria-busy={isOpen}>
      {showsModel && <p class="answer-model">{answer.model}</p>}
      {answer.thinking && (
        <details class="thinking">
          <summary>
            <Icon name="thought" size={16} />
            {isOpen && !answer.content ? t("chat.thinking.now") : t("chat.thinking")}
          </summary>
          <div class="thoughts">{answer.thinking}</div>
        </details>
      )}
      {answer.content && <Markdown text={answer.content} />}
      {answer.toolCalls.map((call, number) => (
        <ToolCall key={number} call={call} />
      ))}
      {isOpen && !answer.content && !answer.thinking && <Waiting />}
      {answer.error && (
        <p class="notice bad" role="alert">
          {answer.error}
        </p>
      )}
      {!isOpen && (
        <div class="answer-foot">
          <Copy text={answer.content} label={t("chat.copy")} />
          <Button kind="quiet" class="small" icon="again" label={t("chat.again")} disabled={locked} onClick={onAgain} />
          <Button kind="quiet" class="small" icon="logs" label={t("chat.raw")} aria-expanded={showsRaw} onClick={() => setShowsRaw(!showsRaw)} />
          <span class="muted small-text">{statsOf(answer)}</span>
        </div>
      )}
      {showsRaw && <Raw answer={answer} />}
    </div>
  );
}

function Waiting() {
  return (
    <span class="waiting" role="status" aria-label={t("loading")}>
      <i />
      <i />
      <i />
    </span>
  );
}

function statsOf(answer: Answer): string {
  const parts: string[] = [];
  if (answer.tokens !== undefined) parts.push(t("chat.tokens", { n: count(answer.tokens) }));
  const speed = speedOf(answer);
  if (speed) parts.push(t("chat.speed", { n: count(Math.round(speed * 10) / 10) }));
  if (answer.firstTokenS !== undefined) parts.push(t("chat.first", { time: seconds(answer.firstTokenS) }));
  if (answer.finish === "stopped") parts.push(t("chat.stopped"));
  if (answer.finish === "length") parts.push(t("chat.length"));
  return parts.join(" · ");
}

/** Shortest time in seconds between the first token and the last that tells how fast they came. */
const TELLING_S = 0.1;

/** Tokens per second after the first one; over the whole time if all came together, as they do through a proxy that buffers. */
function speedOf({ tokens = 0, seconds = 0, firstTokenS = 0 }: Answer): number | null {
  if (tokens < 2 || !seconds) return null;
  const span = seconds - firstTokenS;
  return span >= TELLING_S ? (tokens - 1) / span : tokens / seconds;
}

function ToolCall({ call }: { call: unknown }) {
  const made = (call as { function?: { name?: string; arguments?: string } }).function ?? {};
  let text = made.arguments ?? "";
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Cut off perhaps; shown as it came.
  }
  return (
    <div class="tool">
      <p>
        <Icon name="tune" size={15} /> {t("chat.tool", { name: made.name ?? "?" })}
      </p>
      <pre tabindex={0}>{text}</pre>
    </div>
  );
}

function Raw({ answer }: { answer: Answer }) {
  const { asked, ...came } = answer;
  return (
    <div class="raw">
      <h3>{t("chat.raw.asked")}</h3>
      <pre tabindex={0}>{JSON.stringify(asked, null, 2)}</pre>
      <h3>{t("chat.raw.came")}</h3>
      <pre tabindex={0}>{JSON.stringify(came, null, 2)}</pre>
    </div>
  );
}

interface ComposerProps {
  busy: boolean;
  canSend: boolean;
  canSee: boolean;
  thinking: boolean | null;
  onThinking: (thinking: boolean) => void;
  onSend: (text: string, images: string[]) => void;
  onStop: () => void;
}

const LARGEST_IMAGE = 4 * 1024 * 1024;

function Composer({ busy, canSend, canSee, thinking, onThinking, onSend, onStop }: ComposerProps) {
  const [text, setText] = useState("");
  const [images, setImages] = useState<string[]>([]);
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    const area = box.current!;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, 220)}px`;
  }, [text]);
  const send = () => {
    if (!text.trim() || busy || !canSend) return;
    onSend(text.trim(), images);
    setText("");
    setImages([]);
  };
  const choose = async (event: Event) => {
    const picker = event.currentTarget as HTMLInputElement;
    const chosen = [...(picker.files ?? [])];
    const files = chosen.filter((each) => each.size <= LARGEST_IMAGE);
    if (files.length < chosen.length) toast(t("chat.image.large"), "error");
    setImages([...images, ...(await Promise.all(files.map(dataOf)))]);
    picker.value = "";
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {images.length > 0 && (
        <div class="thumbs">
          {images.map((url, number) => (
            <button key={url} type="button" aria-label={t("chat.image.remove")} onClick={() => setImages(images.filter((_, other) => other !== number))}>
              <img src={url} alt="" />
            </button>
          ))}
        </div>
      )}
      <textarea
        ref={box}
        rows={1}
        value={text}
        placeholder={t("chat.placeholder")}
        aria-label={t("chat.placeholder")}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          // Enter that ends the choice of a Chinese character belongs to the input method.
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      <div class="composer-foot">
        {thinking !== null && (
          <button type="button" role="switch" class="chip" aria-checked={thinking} onClick={() => onThinking(!thinking)}>
            <Icon name="thought" size={16} />
            {t("chat.thinking")}
          </button>
        )}
        {canSee && (
          <label class="chip file">
            <Icon name="image" size={16} />
            {t("chat.image")}
            <input type="file" accept="image/*" multiple onChange={choose} />
          </label>
        )}
        <span class="push" />
        {busy ? (
          <Button kind="primary" icon="stop" label={t("chat.stop")} onClick={onStop} />
        ) : (
          <Button kind="primary" type="submit" icon="send" label={t("chat.send")} disabled={!text.trim() || !canSend} />
        )}
      </div>
    </form>
  );
}

function dataOf(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function OptionsPanel({ options, onChange, onClose }: { options: Options; onChange: (options: Options) => void; onClose: () => void }) {
  const set = (field: keyof Options) => (event: Event) => onChange({ ...options, [field]: (event.currentTarget as HTMLInputElement).value });
  const number = (field: keyof Options, label: string, min: number, step: number, max?: number) => (
    <Field label={label}>{(id) => <input id={id} type="number" min={min} max={max} step={step} placeholder={t("form.usual")} value={options[field]} onInput={set(field)} />}</Field>
  );
  return (
    <Dialog side title={t("chat.options")} onClose={onClose}>
      <div class="stack">
        <Field label={t("chat.system")}>{(id) => <textarea id={id} rows={4} value={options.system} onInput={set("system")} />}</Field>
        <div class="fields">
          {number("temperature", t("chat.temperature"), 0, 0.1, 2)}
          {number("topP", t("chat.topp"), 0, 0.05, 1)}
          {number("maxTokens", t("chat.maxtokens"), 1, 1)}
          {number("seed", t("chat.seed"), 0, 1)}
        </div>
        <Field label={t("chat.stopwords")} hint={t("chat.stopwords.hint")}>
          {(id) => <textarea id={id} rows={2} value={options.stop} onInput={set("stop")} />}
        </Field>
        <Field label={t("chat.tools")} hint={toolsOf(options.tools) === null ? <span class="bad-text">{t("chat.tools.bad")}</span> : t("chat.tools.hint")}>
          {(id) => <textarea id={id} rows={8} class="mono" spellcheck={false} placeholder={'[{"type": "function", "function": {"name": "get_weather", …}}]'} value={options.tools} onInput={set("tools")} />}
        </Field>
      </div>
    </Dialog>
  );
}
