import { defineConfig } from "vite";

// Addresses are relative, so that the console works behind a proxy that adds a prefix.
export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // the first ones with light-dark()
    assetsInlineLimit: 0, // the page's policy allows no data: addresses for scripts and styles
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    reportCompressedSize: false,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:9997", "/version": "http://127.0.0.1:9997" } },
});
