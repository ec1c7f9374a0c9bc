// The mark of the product, and what a person chooses of the page: its theme and its language.

import { t } from "./i18n";
import { Button } from "./parts";
import { language, theme, type Theme } from "./settings";

const NEXT_THEME: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const THEME_ICON: Record<Theme, string> = { auto: "auto", light: "sun", dark: "moon" };

export function Mark() {
  return (
    <svg class="mark" width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path d="M9.5 9.5l13 13M22.5 9.5l-4.6 4.6M9.5 22.5l4.6-4.6" />
    </svg>
  );
}

export function Choices() {
  const isChinese = language.value === "zh-TW";
  const other = isChinese ? "EN – English" : "繁體中文";
  return (
    <div class="side-actions">
      <Button kind="quiet" icon={THEME_ICON[theme.value]} label={t(`theme.${theme.value}`)} onClick={() => (theme.value = NEXT_THEME[theme.value])} />
      <button type="button" class="button quiet only-icon" lang={isChinese ? "en" : "zh-TW"} aria-label={other} title={other} onClick={() => (language.value = isChinese ? "en" : "zh-TW")}>
        <span>{isChinese ? "EN" : "中"}</span>
      </button>
    </div>
  );
}
