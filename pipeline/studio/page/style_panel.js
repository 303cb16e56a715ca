/** The gallery of styles and the settings beside it; both tabs use the same. */

import { byId, element, recall, remember } from "./elements.js";

const STORED = "flowbrush-settings";

export class StylePanel extends EventTarget {
  /** Dispatches "change" whenever `settings` are others. */
  constructor() {
    super();
    this.styles = new Map();
    this.chosen = "";
    this.form = byId("panel");
    this.second = byId("second");
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.#changed());
    this.#restore(recall(STORED) ?? {});
    this.#showTexts();
  }

  /** The settings as the server takes them. */
  get settings() {
    const share = this.second.value ? Number(byId("blend").value) / 100 : 0;
    const styles = [{ name: this.chosen, weight: 1 - share }];
    if (share > 0) styles.push({ name: this.second.value, weight: share });
    return {
      styles: styles.filter(({ weight }) => weight > 0),
      strength: Number(byId("strength").value) / 100,
      keep_colors: byId("keep-colors").checked,
      stability: this.form.elements.stability.value,
      mirror: byId("mirror").checked,
    };
  }

  /** The address of the chosen style's thumbnail. */
  get thumbnail() {
    return this.styles.get(this.chosen)?.thumbnail;
  }

  /** Fill the gallery. @param {{name: string, title: string, thumbnail: string, source: string}[]} styles */
  fill(styles) {
    this.styles = new Map(styles.map((style) => [style.name, style]));
    const stored = recall(STORED) ?? {};
    this.chosen = this.styles.has(stored.style) ? stored.style : styles[0].name;
    byId("gallery").replaceChildren(...styles.map((style) => this.#tile(style)));
    byId("gallery").setAttribute("aria-busy", "false");
    loadInTurn([...byId("gallery").querySelectorAll("img")]);
    this.second.append(...styles.map(({ name, title }) => element("option", { value: name }, title)));
    this.second.value = this.styles.has(stored.second) ? stored.second : "";
    this.second.disabled = styles.length < 2;
    this.#changed();
  }

  /** Return the styles of some settings as text: "The Scream", or "The Scream 70% + Olive Trees 30%". */
  describe({ styles }) {
    const title = (name) => this.styles.get(name)?.title ?? name;
    if (styles.length === 1) return title(styles[0].name);
    return styles.map(({ name, weight }) => `${title(name)} ${Math.round(100 * weight)}%`).join(" + ");
  }

  /** Choose the style with this number in the gallery, from 0. */
  choose(index) {
    const tile = byId("gallery").querySelectorAll("input")[index];
    if (tile) tile.click();
  }

  /** Change a setting that is on or off. @param {"keep-colors" | "mirror"} id */
  toggle(id) {
    byId(id).click();
  }

  #tile({ name, title, thumbnail, source }) {
    const radio = element("input", { type: "radio", name: "style", value: name, checked: name === this.chosen });
    const picture = element("img", { alt: "", width: 160, height: 90, decoding: "async" });
    picture.dataset.address = thumbnail;
    return element("label", { className: "tile", title: source ? `${title}. ${source}` : title }, radio, picture, element("span", {}, title));
  }

  #changed() {
    this.chosen = this.form.elements.style?.value || this.chosen;
    if (this.second.value === this.chosen) this.second.value = "";
    this.#showTexts();
    const { strength, keep_colors, stability, mirror } = this.settings;
    const [second, blend] = [this.second.value, byId("blend").value];
    if (this.styles.size) remember(STORED, { style: this.chosen, second, blend, strength, keep_colors, stability, mirror });
    this.dispatchEvent(new Event("change"));
  }

  #restore(stored) {
    byId("strength").value = 100 * (stored.strength ?? 1);
    byId("blend").value = stored.blend ?? 50;
    byId("keep-colors").checked = Boolean(stored.keep_colors);
    byId("mirror").checked = stored.mirror ?? false;
    for (const radio of this.form.elements.stability) radio.checked = radio.value === (stored.stability ?? "smooth");
  }

  #showTexts() {
    const style = this.styles.get(this.chosen);
    if (style) {
      byId("style-title").textContent = style.title;
      byId("style-source").textContent = [style.source, style.name].filter(Boolean).join(" · ");
    }
    const isBlended = Boolean(this.second.value);
    byId("blend").disabled = !isBlended;
    byId("blend-text").textContent = isBlended ? `${byId("blend").value}%` : "–";
    byId("strength-text").textContent = `${byId("strength").value}%`;
    for (const option of this.second.options) option.disabled = option.value === this.chosen;
    for (const id of ["blend", "strength"]) byId(id).style.setProperty("--share", `${byId(id).value}%`);
  }
}

/** Load pictures two by two. The first time the server still draws them, and a browser opens few connections to it. */
function loadInTurn(pictures) {
  const next = () => {
    const picture = pictures.shift();
    if (!picture) return;
    picture.onload = picture.onerror = next;
    picture.src = picture.dataset.address;
  };
  next();
  next();
}
