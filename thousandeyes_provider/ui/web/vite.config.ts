import { defineConfig } from "vite";

/**
 * Two builds of the same pages.
 *
 * `plugin`: imported by Airflow's web interface, which brings React.
 * `file`: inlined into a self-contained HTML file, so React is part of it.
 */
export default defineConfig(({ mode }) => {
  const isPlugin = mode === "plugin";
  return {
    publicDir: isPlugin ? "public" : false,
    define: { "process.env.NODE_ENV": JSON.stringify("production") },
    oxc: { jsx: { runtime: "classic" } },
    build: {
      outDir: "../bundle",
      emptyOutDir: isPlugin,
      target: "es2022",
      chunkSizeWarningLimit: 400,
      lib: {
        entry: isPlugin ? "src/plugin.tsx" : "src/file.tsx",
        name: "ThousandEyesReport",
        formats: ["iife"],
        fileName: () => (isPlugin ? "plugin.js" : "report.js"),
      },
      rollupOptions: isPlugin ? { external: ["react"], output: { globals: { react: "React" } } } : {},
    },
    test: { include: ["tests/**/*.test.{ts,tsx}"], environment: "node", testTimeout: 60_000 },
  };
});
