/** Pictures that become styles: dropped, pasted or chosen; the studio keeps their styles until they are removed. */

import { addPicture, read, removePicture } from "./api.js";
import { acceptDrops, byId, notify, size } from "./elements.js";

// Of the file's name, where the browser does not know the type.
const ENDINGS = /\.(jpe?g|png|webp|bmp|tiff?|heic|heif|avif|svg)$/i;

export class Pictures {
  /** @param {import("./style_panel.js").StylePanel} panel shows their styles */
  constructor(panel) {
    Object.assign(this, { panel, mostBytes: Infinity });
    panel.onRemove = (style) => this.remove(style);
    byId("picture-file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.add(target.files[0]);
      target.value = "";
    });
    acceptDrops(byId("panel"), (file) => this.add(file));
    window.addEventListener("paste", (event) => {
      const [file] = event.clipboardData?.files ?? [];
      if (file) this.add(file);
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** Ask the studio which pictures it has. */
  async ask() {
    const { pictures, picture_bytes: mostBytes } = await read("/api/pictures");
    this.mostBytes = mostBytes;
    return pictures;
  }

  /** Show what other pages have added or removed. */
  async refresh() {
    if (!this.panel.styles.size) return; // the page is still being loaded
    try {
      this.panel.showPictures(await this.ask());
    } catch {
      // Whatever is asked for next says what is wrong.
    }
  }

  /** Make a style of a picture, and choose it. */
  async add(file) {
    const wrong = this.#problem(file);
    if (wrong) return notify(`${file.name}: ${wrong}.`, { isError: true });
    const done = this.panel.showArriving(file);
    try {
      const { note, ...style } = await addPicture(file);
      this.panel.addPicture(style);
      if (note) notify(note);
    } catch (error) {
      notify(error.message, { isError: true });
    }
    done();
  }

  /** Remove the style of a picture; the studio keeps it for renders that need it. */
  async remove({ name, picture }) {
    try {
      await removePicture(picture);
    } catch (error) {
      if (error.status !== 404) return notify(error.message, { isError: true });
    }
    this.panel.removePicture(name);
  }

  #problem(file) {
    if (file.type.startsWith("video/")) return "this is a clip; drop it beside the styles";
    if (file.size > this.mostBytes) return `it has ${size(file.size)}, and the studio takes ${size(this.mostBytes)}; scale it down`;
    return "";
  }
}

/** Whether a file that was dropped beside the styles is a picture. Animated pictures are clips, and so is every gif. */
export async function isPicture(file) {
  if (file.type === "image/gif") return false;
  if (file.type === "image/webp") return !(await isAnimated(file));
  return file.type.startsWith("image/") || (!file.type && ENDINGS.test(file.name));
}

/** Whether a WebP is animated: a flag of its extended header (RFC 9649, 2.7). */
async function isAnimated(file) {
  const header = new Uint8Array(await file.slice(0, 21).arrayBuffer());
  return String.fromCharCode(...header.slice(12, 16)) === "VP8X" && Boolean(header[20] & 2);
}
