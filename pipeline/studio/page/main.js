/** The start of the page: tabs, keys, and what the server has to offer. */

import { read } from "./api.js";
import { byId, notify } from "./elements.js";
import { Jobs } from "./jobs.js";
import { Live } from "./live.js";
import { Pictures } from "./pictures.js";
import { Render } from "./render.js";
import { StylePanel } from "./style_panel.js";

const TABS = ["live", "render"];
const RETRY_SECONDS = 3;

const panel = new StylePanel();
const jobs = new Jobs(panel);
const pictures = new Pictures(panel);
const live = new Live(panel, pictures);
const render = new Render(panel, jobs, pictures);

panel.addEventListener("change", () => {
  for (const name of TABS) {
    const wall = byId(`${name}-wall`);
    if (panel.style) wall.src = panel.style.thumbnail;
    wall.classList.toggle("own", Boolean(panel.style?.picture));
  }
});

/** Show one tab. The camera stops when Live is left: nobody would see it. */
function showTab(name, { focus = false } = {}) {
  const leavesLive = name !== "live" && !byId("live").hidden;
  for (const other of TABS) {
    const tab = byId(`tab-${other}`);
    tab.setAttribute("aria-selected", String(other === name));
    tab.tabIndex = other === name ? 0 : -1;
    byId(other).hidden = other !== name;
  }
  for (const row of ["mirror-row", "sound-row"]) byId(row).hidden = name !== "live";
  if (leavesLive) live.stop();
  jobs.show(name === "render");
  if (focus) byId(`tab-${name}`).focus();
  history.replaceState(null, "", `${location.pathname}${location.search}#${name}`);
}

for (const [index, name] of TABS.entries()) {
  byId(`tab-${name}`).addEventListener("click", () => showTab(name));
  byId(`tab-${name}`).addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) showTab(TABS.at((index + step) % TABS.length), { focus: true });
  });
}
window.addEventListener("hashchange", () => TABS.includes(location.hash.slice(1)) && showTab(location.hash.slice(1)));

// A file that is dropped beside the stage belongs to the tab, and must not replace the page.
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());

/** The keys of `flowbrush live`; a list to choose from takes letters itself. */
const KEYS = {
  b: () => byId(byId("live").hidden ? "render-compare" : "live-compare").click(),
  r: () => byId("live").hidden || byId("record").click(),
  f: () => byId("live").hidden || byId("full-screen").click(),
  c: () => panel.toggle("keep-colors"),
  m: () => byId("live").hidden || panel.toggle("mirror"),
};
window.addEventListener("keydown", (event) => {
  const takesKeys = event.target.closest("select");
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || takesKeys) return;
  if (/^\d$/.test(event.key)) panel.choose((Number(event.key) + 9) % 10); // 0 is the tenth
  else KEYS[event.key]?.();
});

/** Ask what the studio offers, until it answers. */
async function load() {
  try {
    const [studio, known] = await Promise.all([read("/api/studio"), pictures.ask()]);
    panel.fill(studio.styles, known);
    render.limit(studio.upload_bytes);
    byId("machine").textContent = studio.device ? `${studio.engine} on ${studio.device}` : "";
    byId("machine").title = `flowbrush ${studio.version}: engine and device of this studio; ${studio.live.free} of ${studio.live.most} live places are free`;
    document.body.classList.add("ready");
    jobs.show(!byId("render").hidden);
  } catch (error) {
    notify(error.message, { isError: true });
    if (![401, 403].includes(error.status)) setTimeout(load, RETRY_SECONDS * 1000);
  }
}

showTab(location.hash === "#render" ? "render" : "live");
load();
