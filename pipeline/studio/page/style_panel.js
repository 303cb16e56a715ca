/** The gallery of styles and the settings beside it; both tabs use the same. */

import { byId, element, icon, recall, remember } from "./elements.js";

const STORED = "flowbrush-settings";

export class StylePanel extends EventTarget {
  /** Dispatches "change" whenever `settings` are others. */
  constructor() {
    super();
    this.styles = new Map();
    this.chosen = "";
    /** Called with the style of a picture that is to be removed. */
    this.onRemove = () => {};
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

  /** The chosen style. @returns {Style | undefined} */
  get style() {
    return this.styles.get(this.chosen);
  }

  /**
   * Fill the gallery: pictures first.
   * @typedef {{name: string, title: string, thumbnail: string, source: string, picture?: string}} Style
   * @param {Style[]} styles @param {Style[]} pictures
   */
  fill(styles, pictures) {
    const all = [...pictures, ...styles];
    this.styles = new Map(all.map((style) => [style.name, style]));
    this.first = styles[0].name;
    const stored = recall(STORED) ?? {};
    this.chosen = this.styles.has(stored.style) ? stored.style : this.first;
    byId("gallery").replaceChildren(byId("add-picture"), ...all.map((style) => this.#tile(style)));
    byId("gallery").setAttribute("aria-busy", "false");
    loadInTurn([...byId("gallery").querySelectorAll("img")]);
    this.second.append(...all.map(option));
    this.second.value = this.styles.has(stored.second) ? stored.second : "";
    this.second.disabled = all.length < 2;
    this.#changed();
  }

  /** Show a picture that is on its way to the studio; return what ends that. */
  showArriving(file) {
    const address = URL.createObjectURL(file);
    const picture = element("img", { alt: "", width: 160, height: 90, src: address });
    const tile = element("span", { className: "tile arriving", title: file.name }, picture, element("span", {}, file.name));
    tile.setAttribute("role", "status");
    byId("add-picture").after(tile);
    tile.scrollIntoView({ block: "nearest", inline: "nearest" });
    return () => {
      tile.remove();
      URL.revokeObjectURL(address);
    };
  }

  /** Show the style of a picture before all others, and choose it. @param {Style} style */
  addPicture(style) {
    if (!this.styles.has(style.name)) this.#insert(style);
    this.#radio(style.name).click();
  }

  /** Remove the style of a picture; if it is chosen, the first style of the studio is. */
  removePicture(name) {
    const { picture } = this.styles.get(name) ?? {};
    if (!picture) return;
    this.styles.delete(name);
    this.#radio(name).closest(".own").remove();
    [...this.second.options].find((each) => each.value === name)?.remove();
    if (this.chosen === name) this.#radio(this.first).click();
    else this.#changed();
  }

  /** Show these pictures instead of those that are shown. @param {Style[]} pictures the newest first */
  showPictures(pictures) {
    const names = new Set(pictures.map(({ name }) => name));
    for (const { name, picture } of [...this.styles.values()]) if (picture && !names.has(name)) this.removePicture(name);
    for (const style of [...pictures].reverse()) if (!this.styles.has(style.name)) this.#insert(style);
  }

  /** Return the styles of a render as text: "The Scream", or "The Scream 70% + Olive Trees 30%". */
  describe({ settings: { styles }, style }) {
    if (!styles.every(({ name }) => this.styles.has(name))) return style; // a picture was removed
    const title = (name) => this.styles.get(name).title;
    if (styles.length === 1) return title(styles[0].name);
    return styles.map(({ name, weight }) => `${title(name)} ${Math.round(100 * weight)}%`).join(" + ");
  }

  /** Choose the style with this number in the gallery, from 0. */
  choose(index) {
    const tile = byId("gallery").querySelectorAll("input[type=radio]")[index];
    if (tile) tile.click();
  }

  /** Change a setting that is on or off. @param {"keep-colors" | "mirror"} id */
  toggle(id) {
    byId(id).click();
  }

  #radio(name) {
    return byId("gallery").querySelector(`input[value="${name}"]`);
  }

  #insert(style) {
    this.styles.set(style.name, style);
    const tile = this.#tile(style);
    byId("add-picture").after(tile);
    loadInTurn([tile.querySelector("img")]);
    this.second.options[0].after(option(style));
  }

  #tile(style) {
    const { name, title, thumbnail, source, picture: isOwn } = style;
    const radio = element("input", { type: "radio", name: "style", value: name, checked: name === this.chosen });
    const picture = element("img", { alt: "", width: 160, height: 90, decoding: "async" });
    picture.dataset.address = thumbnail;
    const tile = element("label", { className: "tile", title: source ? `${title}. ${source}` : title }, radio, picture, element("span", {}, title));
    if (!isOwn) return tile;
    const remove = element("button", { type: "button", className: "remove", title: "Remove this picture", onclick: () => this.onRemove(style) }, icon("close"));
    remove.setAttribute("aria-label", `Remove ${title}`);
    return element("div", { className: "own" }, tile, remove);
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
      byId("style-source").textContent = [style.source, style.picture ? "" : style.name].filter(Boolean).join(" · ");
    }
    const isBlended = Boolean(this.second.value);
    byId("blend").disabled = !isBlended;
    byId("blend-text").textContent = isBlended ? `${byId("blend").value}%` : "–";
    byId("strength-text").textContent = `${byId("strength").value}%`;
    for (const option of this.second.options) option.disabled = option.value === this.chosen;
    for (const id of ["blend", "strength"]) byId(id).style.setProperty("--share", `${byId(id).value}%`);
  }
}

const option = ({ name, title }) => element("option", { value: name }, title);

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
