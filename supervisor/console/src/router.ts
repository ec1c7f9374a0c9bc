// Addresses within the page, after its `#`: `#/catalog/qwen3` is ["catalog", "qwen3"].

import { signal } from "@preact/signals";

const read = () => {
  const parts = location.hash.replace(/^#\/?/, "").split("?")[0].split("/").filter(Boolean);
  return parts.map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
};

export const route = signal<string[]>(read());

addEventListener("hashchange", () => {
  route.value = read();
  scrollTo(0, 0);
});

export const to = (...parts: string[]) => `#/${parts.map(encodeURIComponent).join("/")}`;
export const go = (...parts: string[]) => (location.hash = to(...parts));
