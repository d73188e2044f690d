/** Small components that all pages share. */
import * as React from "react";
import type { Verdict } from "../model/evidence";
import { VERDICT_NAMES } from "../model/format";
import { SEVERITY } from "../model/suite";

const SHAPES: Readonly<Record<Verdict, React.ReactNode>> = {
  passed: (
    <>
      <circle cx="8" cy="8" r="7" fill="currentColor" />
      <path d="M4.5 8.2l2.4 2.4 4.6-5" fill="none" stroke="var(--te-raised)" strokeWidth="1.8" />
    </>
  ),
  failed: (
    <>
      <path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor" />
      <path d="M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4" stroke="var(--te-raised)" strokeWidth="1.8" />
    </>
  ),
  incomplete: (
    <>
      <circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" strokeWidth="1.6" />
      <path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor" />
    </>
  ),
  no_results: (
    <circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" strokeWidth="1.6" strokeDasharray="3 2" />
  ),
  error: (
    <>
      <path d="M8 1l7.2 13.5H.8z" fill="currentColor" />
      <path d="M8 6v4M8 11.4v1.4" stroke="var(--te-raised)" strokeWidth="1.7" />
    </>
  ),
  unknown: (
    <rect x="2" y="2" width="12" height="12" rx="2" fill="none" stroke="currentColor" strokeWidth="1.6" />
  ),
};

/** A shape for each verdict, so that they differ in more than color. The view box is 16 by 16. */
export function VerdictShape({ verdict }: { readonly verdict: Verdict }) {
  return <>{SHAPES[verdict]}</>;
}

export function VerdictIcon({ verdict }: { readonly verdict: Verdict }) {
  return (
    <svg width="15" height="15" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <VerdictShape verdict={verdict} />
    </svg>
  );
}

export function VerdictBadge({
  verdict,
  plain = false,
}: {
  readonly verdict: Verdict;
  readonly plain?: boolean;
}) {
  return (
    <span className={`te-badge te-tone-${verdict} ${plain ? "te-badge-plain" : ""}`}>
      <VerdictIcon verdict={verdict} />
      {VERDICT_NAMES[verdict]}
    </span>
  );
}

export function Card({
  title,
  note,
  children,
  flush = false,
}: {
  readonly title: string;
  readonly note?: React.ReactNode;
  readonly children: React.ReactNode;
  /** Whether the content extends to the border. */
  readonly flush?: boolean;
}) {
  const id = React.useId();
  return (
    <section className="te-card" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {note ? <span className="te-muted te-small">{note}</span> : null}
      </header>
      {flush ? children : <div className="te-body">{children}</div>}
    </section>
  );
}

export interface Fact {
  readonly name: string;
  readonly value: React.ReactNode;
}

export function Facts({ facts }: { readonly facts: readonly Fact[] }) {
  return (
    <dl className="te-facts">
      {facts.map(({ name, value }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A link to another site. The address must come from `safeUrl`, which accepts `http` and `https` only. */
export function ExternalLink({
  href,
  children,
}: {
  readonly href: string;
  readonly children: React.ReactNode;
}) {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
      <span className="te-visually-hidden"> (opens a new tab)</span>
      <span aria-hidden="true">{"\u00a0↗"}</span>
    </a>
  );
}

export function CountsBar({ counts }: { readonly counts: ReadonlyMap<Verdict, number> }) {
  const present = SEVERITY.filter((verdict) => (counts.get(verdict) ?? 0) > 0);
  const text = present
    .map((verdict) => `${counts.get(verdict)} ${VERDICT_NAMES[verdict].toLowerCase()}`)
    .join(", ");
  return (
    <div className="te-bar" role="img" aria-label={text || "no tests"} title={text}>
      {present.map((verdict) => (
        <span key={verdict} className={`te-tone-${verdict}`} style={{ flexGrow: counts.get(verdict) }} />
      ))}
    </div>
  );
}

export function CutNotice({ cut }: { readonly cut: readonly (readonly [string, number])[] }) {
  if (cut.length === 0) return null;
  const list = cut.map(([name, count]) => `${count} of ${name.replaceAll(/[._]/g, " ")}`).join("; ");
  return (
    <p className="te-notice te-notice-cut" role="note">
      <strong>This report is not complete.</strong> The evidence was shortened to 48 KiB. Omitted: {list}.
    </p>
  );
}

export function Message({
  children,
  busy = false,
}: {
  readonly children: React.ReactNode;
  readonly busy?: boolean;
}) {
  return (
    <p className="te-notice" role="status" aria-busy={busy}>
      {children}
    </p>
  );
}

/** The JSON behind a page. It is serialized when a user opens it. */
export function RawEvidence({ value, address }: { readonly value: unknown; readonly address?: string }) {
  const [isOpen, setOpen] = React.useState(false);
  return (
    <details className="te-details" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Evidence as JSON</summary>
      {isOpen ? (
        <div className="te-stack">
          {address ? (
            <p className="te-small">
              <a href={address}>Open in Airflow&apos;s REST API</a>
            </p>
          ) : null}
          <pre className="te-pre" tabIndex={0} role="region" aria-label="Evidence as JSON">
            {JSON.stringify(value, null, 2)}
          </pre>
        </div>
      ) : null}
    </details>
  );
}

/** The current width of an element, or the initial value until it is measured. */
export function useWidth(guess: number): readonly [React.RefObject<HTMLDivElement | null>, number] {
  const element = React.useRef<HTMLDivElement | null>(null);
  const [width, setWidth] = React.useState(guess);
  React.useLayoutEffect(() => {
    const measured = element.current;
    if (!measured) return undefined;
    const measure = () => {
      if (measured.clientWidth > 0) setWidth(measured.clientWidth);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(measured);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

/** Shorten a text to approximately a width, because SVG does not wrap text. */
export function shorten(text: string, most: number): string {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, Math.max(most - 1, 1)).join("")}…`;
}

/** Shows a message in place of a page that cannot be rendered. */
export class ErrorBoundary extends React.Component<
  { readonly children: React.ReactNode },
  { readonly isBroken: boolean }
> {
  override state = { isBroken: false };

  static getDerivedStateFromError() {
    return { isBroken: true };
  }

  override render() {
    if (!this.state.isBroken) return this.props.children;
    return (
      <Message>
        This report cannot be rendered from its evidence. The XCom return_value of the task contains the
        evidence.
      </Message>
    );
  }
}
