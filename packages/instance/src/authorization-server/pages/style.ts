/** The one style sheet, sent inside each page and named by its hash in the policy: it must be byte for byte what is sent. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #f4f5f7; --card: #ffffff; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0;
  --accent: #0b5cad; --on-accent: #ffffff; --warn: #fff4d6; --warn-line: #9a6700;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0e1116; --card: #171b21; --ink: #e8ecf1; --soft: #a3adb8; --line: #3a424c;
    --accent: #79b8ff; --on-accent: #0b1a2b; --warn: #2e2613; --warn-line: #d4a72c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  overflow-wrap: anywhere;
}
main {
  width: 100%; max-width: 32rem; padding: 1.75rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 0.75rem;
}
h1 { margin: 0 0 0.75rem; font-size: 1.375rem; line-height: 1.3; text-wrap: balance; }
h2 { margin: 1.5rem 0 0.5rem; font-size: 1rem; }
p { margin: 0 0 0.75rem; }
.host { margin: 0 0 1rem; color: var(--soft); font-size: 0.875rem; }
.soft { color: var(--soft); font-size: 0.875rem; }
dl { margin: 1rem 0; border-top: 1px solid var(--line); }
dl div { padding: 0.6rem 0; border-bottom: 1px solid var(--line); }
dt { color: var(--soft); font-size: 0.875rem; }
dd { margin: 0; font-weight: 600; }
dd .soft { display: block; font-weight: 400; }
ul { margin: 0 0 0.75rem; padding-left: 1.25rem; }
li { margin: 0.25rem 0; }
code { font: 0.9em/1.4 ui-monospace, SFMono-Regular, Menlo, monospace; }
.warning {
  margin: 1rem 0; padding: 0.75rem 1rem; background: var(--warn);
  border-left: 4px solid var(--warn-line); border-radius: 0.25rem;
}
.warning h2 { margin: 0 0 0.25rem; }
.warning p { margin: 0; }
.choices { display: flex; flex-wrap: wrap; gap: 0.75rem; margin: 1.5rem 0 0.75rem; }
.choices form { flex: 1 1 8rem; }
.choices form:first-child { flex: 2 1 14rem; }
button { font: inherit; cursor: pointer; border-radius: 0.5rem; }
.choices button {
  width: 100%; min-height: 2.75rem; padding: 0.5rem 1rem; font-weight: 600;
  border: 1px solid var(--line); background: transparent; color: var(--ink);
}
.choices .go { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
.link { min-height: 2.75rem; padding: 0; border: 0; background: none; color: var(--accent); text-align: start; text-decoration: underline; }
button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
@media (forced-colors: active) { button, main, .warning { border: 1px solid; } }
@media (max-width: 30rem) { body { padding: 0; place-items: start stretch; } main { border: 0; border-radius: 0; min-height: 100vh; } }
`;
