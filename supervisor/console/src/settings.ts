// What a person has chosen for this page; it stays in the browser.

import { effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
export type Language = "en" | "zh-TW";

function kept<T extends string>(name: string, allowed: readonly T[], usual: T) {
  let before: string | null = null;
  try {
    before = localStorage.getItem(`xinfer.${name}`);
  } catch {
    // Storage may be switched off; then the choice lasts as long as the page.
  }
  const chosen = signal<T>(allowed.find((each) => each === before) ?? usual);
  effect(() => {
    try {
      localStorage.setItem(`xinfer.${name}`, chosen.value);
    } catch {
      // As above.
    }
  });
  return chosen;
}

const wantsChinese = navigator.languages.some((each) => each.toLowerCase().startsWith("zh"));

export const theme = kept<Theme>("theme", ["auto", "light", "dark"], "auto");
export const language = kept<Language>("language", ["en", "zh-TW"], wantsChinese ? "zh-TW" : "en");

effect(() => {
  if (theme.value === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme.value;
});
effect(() => {
  document.documentElement.lang = language.value;
});
