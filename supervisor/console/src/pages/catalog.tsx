// The families that can be launched by name: what each can do, and what of it fits this cluster.

import { useMemo, useState } from "preact/hooks";
import { api, type Family } from "../api";
import { count, gib, tokens } from "../format";
import { t, type Key } from "../i18n";
import { Ability, Empty, Head, Icon, Notice, Skeletons, useLoaded } from "../parts";
import { to } from "../router";
import { Search } from "./models";

const ABILITIES = ["chat", "tools", "reasoning", "vision", "generate"];

export function Catalog() {
  const [words, setWords] = useState("");
  const [ability, setAbility] = useState("");
  const [onlyFits, setOnlyFits] = useState(false);
  const catalog = useLoaded(api.catalog, []);
  const found = useMemo(() => matching(catalog.data?.data ?? [], words, ability, onlyFits), [catalog.data, words, ability, onlyFits]);
  return (
    <>
      <Head title={t("catalog.title")} lead={catalog.data && t("catalog.lead", { n: count(found.length), all: count(catalog.data.data.length) })}>
        <a class="button" href={to("launch")}>
          <Icon name="plus" />
          <span>{t("catalog.path")}</span>
        </a>
      </Head>
      <div class="filters">
        <Search value={words} onInput={setWords} label={t("catalog.search")} />
        <div class="chips" role="group" aria-label={t("catalog.abilities")}>
          {ABILITIES.map((each) => (
            <button key={each} type="button" class="chip" aria-pressed={ability === each} onClick={() => setAbility(ability === each ? "" : each)}>
              {t(`ability.${each}` as Key)}
            </button>
          ))}
          <button type="button" class="chip" aria-pressed={onlyFits} onClick={() => setOnlyFits(!onlyFits)}>
            {t("catalog.onlyfits")}
          </button>
        </div>
      </div>
      {catalog.error && <Notice kind="bad">{catalog.error}</Notice>}
      {!catalog.data && !catalog.error && <Skeletons count={4} height={150} />}
      {catalog.data && !found.length && <Empty icon="search" title={t("catalog.none")} text={t("catalog.none.text")} />}
      <ul class="grid">
        {found.map((each) => (
          <Card key={each.name} family={each} />
        ))}
      </ul>
    </>
  );
}

function matching(all: Family[], text: string, ability: string, onlyFits: boolean): Family[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((each) => {
    if (ability && !each.abilities.includes(ability)) return false;
    if (onlyFits && !each.fit.fits) return false;
    const whole = `${each.name} ${each.description}`.toLowerCase();
    return words.every((word) => whole.includes(word));
  });
  // What fits comes first, and the model that comes with xinfer before all, for whoever looks for a beginning.
  const rank = (each: Family) => (each.name === "tiny-chat" ? 0 : each.fit.fits ? 1 : 2);
  return found.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

function Card({ family }: { family: Family }) {
  return (
    <li>
      <a class="card family" href={to("catalog", family.name)}>
        <span class="row-title">
          <strong>{family.name}</strong>
          <FitMark fits={family.fit.fits} />
        </span>
        <span class="muted clamp">{family.description}</span>
        <span class="tags">
          {family.abilities
            .filter((each) => ABILITIES.includes(each) && each !== "generate")
            .map((each) => (
              <Ability key={each} name={each} />
            ))}
        </span>
        <span class="card-foot muted">
          <span>{sizes(family)}</span>
          <span>{t("catalog.context", { n: tokens(family.context_length) })}</span>
          {family.fit.memory_gib !== null && <span>{gib(family.fit.memory_gib)}</span>}
        </span>
      </a>
    </li>
  );
}

const sizes = (family: Family) => {
  const all = family.sizes.map((each) => `${each}B`);
  return all.length > 4 ? `${all[0]} … ${all[all.length - 1]}` : all.join(" · ");
};

export function FitMark({ fits }: { fits: boolean }) {
  return (
    <span class={`fit ${fits ? "yes" : "no"}`}>
      <Icon name={fits ? "check" : "close"} size={13} />
      {t(fits ? "fit.yes" : "fit.no")}
    </span>
  );
}
