/** Entry point of the build for a self-contained HTML file, which contains the evidence. */
import * as React from "react";
import { createRoot } from "react-dom/client";
import { ErrorBoundary } from "./components/basics";
import { isSuiteEvidence, parseEvidence } from "./model/evidence";
import { parseSuite } from "./model/suite";
import { GateReport } from "./pages/GateReport";
import { RunReport } from "./pages/RunReport";
import css from "./styles.css?inline";

/** A file has no links to pages: `linksOf` returns none, so this is never rendered. */
function NoLink({ children }: { readonly children: React.ReactNode }) {
  return <>{children}</>;
}

export function FileReport({ evidence }: { readonly evidence: unknown }) {
  if (isSuiteEvidence(evidence)) {
    const suite = parseSuite(evidence);
    return (
      <GateReport
        title="ThousandEyes suite"
        rows={suite.rows}
        suites={[suite]}
        linksOf={() => null}
        Link={NoLink}
      />
    );
  }
  return <RunReport evidence={parseEvidence(evidence)} />;
}

function followColorScheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

function start() {
  const data = document.getElementById("evidence")?.textContent ?? "null";
  const container = document.getElementById("report");
  if (!container) return;
  followColorScheme();
  createRoot(container).render(
    <div className="te-root">
      <style>{css}</style>
      <main className="te-page te-stack">
        <ErrorBoundary>
          <FileReport evidence={JSON.parse(data)} />
        </ErrorBoundary>
      </main>
    </div>,
  );
}

start();
