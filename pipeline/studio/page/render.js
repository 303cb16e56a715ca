/** The Render tab: upload a clip, preview frames of it, start its render. */

import { discard, frameAddress, request, send, upload } from "./api.js";
import { acceptDrops, byId, clock, notify, recall, remember, size } from "./elements.js";
import { isPicture } from "./pictures.js";
import { Split } from "./split.js";

const STORED = "flowbrush-clip";
const PREVIEW_SECONDS = 0.12;
const TEXTS = {
  idle: ["Turn a clip into a painting", "Choose a clip, or drop it here. It goes to the studio's computer, where you see a frame in every style at once and stylize it as a whole, with its audio."],
  gone: ["Choose the clip again", "The studio does not have it any more."],
};

export class Render {
  /**
   * @param {import("./style_panel.js").StylePanel} panel
   * @param {import("./jobs.js").Jobs} jobs
   * @param {import("./pictures.js").Pictures} pictures
   */
  constructor(panel, jobs, pictures) {
    Object.assign(this, { panel, jobs, clip: null, uploading: null, uploadBytes: Infinity });
    this.stage = byId("render-stage");
    this.split = new Split(this.stage, byId("render-split"), byId("render-compare"));
    this.frames = { before: new LatestFrame(byId("render-before")), after: new LatestFrame(byId("render-after")) };
    this.frames.after.onBusy = (isBusy) => (byId("render-busy").hidden = !isBusy);
    for (const frame of Object.values(this.frames)) frame.onError = (error) => this.#frameFailed(error);
    for (const id of ["render-file", "other-file"]) {
      byId(id).addEventListener("change", ({ target }) => {
        if (target.files.length) this.open(target.files[0]);
        target.value = "";
      });
    }
    acceptDrops(byId("render"), async (file) => ((await isPicture(file)) ? pictures.add(file) : this.open(file)));
    byId("upload-cancel").addEventListener("click", () => this.uploading?.cancel());
    byId("time").addEventListener("input", () => this.#timeChanged());
    byId("start-render").addEventListener("click", () => this.start());
    panel.addEventListener("change", () => this.#preview());
    this.#show("idle");
    const clip = recall(STORED, "sessionStorage");
    if (clip?.upload) this.#opened(clip);
  }

  /** Say how large an upload may be. */
  limit(bytes) {
    this.uploadBytes = bytes;
    if (this.stage.dataset.state === "idle") byId("render-more").textContent = `Up to ${size(bytes)}.`;
  }

  /** Upload a clip and show its first frame. */
  async open(file) {
    if (file.size > this.uploadBytes) {
      const text = `${file.name}: it has ${size(file.size)}, and the studio takes ${size(this.uploadBytes)}; shorten it first.`;
      if (this.clip || this.uploading) return notify(text, { isError: true }); // which stays
      return this.#show("idle", ["This clip is too large", text]);
    }
    this.uploading?.cancel();
    if (this.clip) discard(this.clip.upload);
    const uploading = upload(file, (share) => (byId("upload-progress").value = share));
    this.uploading = uploading;
    this.#close();
    byId("upload-progress").value = 0;
    this.#show("uploading", [file.name, `Uploading ${size(file.size)}.`]);
    try {
      const clip = await uploading.done;
      if (uploading !== this.uploading) return;
      this.uploading = null;
      if (clip) this.#opened(clip);
      else this.#show("idle");
    } catch (error) {
      if (uploading !== this.uploading) return;
      this.uploading = null;
      this.#show("idle", ["This does not work", error.message]);
    }
  }

  /** Start the render of the clip with the settings of now. */
  async start() {
    byId("start-render").disabled = true;
    try {
      const container = byId("container").value;
      this.jobs.add(await send("/api/jobs", { upload: this.clip.upload, settings: this.#settings, container }));
      byId("jobs-title").scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (error.status === 404) this.#gone();
      else notify(error.message, { isError: true });
    }
    byId("start-render").disabled = !this.clip;
  }

  get #settings() {
    return { ...this.panel.settings, mirror: false };
  }

  get #seconds() {
    return Number(byId("time").value);
  }

  #opened(clip) {
    this.clip = clip;
    remember(STORED, clip, "sessionStorage");
    const { seconds, fps } = clip;
    const step = 1 / Math.min(Math.max(fps || 25, 1), 120);
    Object.assign(byId("time"), { max: Math.max((seconds || 0) - step, 0), step, value: 0 });
    this.#show("open");
    this.#timeChanged();
  }

  #close() {
    this.clip = null;
    remember(STORED, null, "sessionStorage");
    for (const frame of Object.values(this.frames)) frame.clear();
  }

  #gone() {
    this.#close();
    this.#show("gone");
  }

  #frameFailed(error) {
    if (error.status === 404) this.#gone();
    else notify(error.message);
  }

  #timeChanged() {
    const time = byId("time");
    byId("time-text").textContent = `${clock(this.#seconds)} / ${clock(this.clip?.seconds ?? 0)}`;
    time.setAttribute("aria-valuetext", `${this.#seconds.toFixed(1)} seconds`);
    time.style.setProperty("--share", `${time.max > 0 ? (100 * time.value) / time.max : 0}%`);
    if (this.clip) this.frames.before.show(frameAddress(this.clip.upload, this.#seconds));
    this.#preview();
  }

  #preview() {
    if (!this.clip || !this.panel.styles.size) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.clip) this.frames.after.show(frameAddress(this.clip.upload, this.#seconds, this.#settings));
    }, PREVIEW_SECONDS * 1000);
  }

  #show(state, [title, text] = TEXTS[state] ?? []) {
    const [isOpen, isUploading] = [state === "open", state === "uploading"];
    this.stage.dataset.state = state;
    byId("render-card").hidden = isOpen;
    if (title) [byId("render-title").textContent, byId("render-text").textContent] = [title, text];
    const isLimited = state === "idle" && Number.isFinite(this.uploadBytes);
    byId("render-more").textContent = isLimited ? `Up to ${size(this.uploadBytes)}.` : "";
    byId("choose").hidden = isUploading;
    byId("upload-progress").hidden = byId("upload-cancel").hidden = !isUploading;
    for (const id of ["time", "render-compare", "container", "start-render", "other-file"]) byId(id).disabled = !isOpen;
    byId("other-file").parentElement.classList.toggle("disabled", !isOpen);
    byId("time-text").textContent = isOpen ? byId("time-text").textContent : "0:00 / 0:00";
    if (!isOpen) this.split.show(false);
  }
}

/** Shows the newest of the frames that are asked for; one request is on its way at a time. */
class LatestFrame {
  /** @param {HTMLImageElement} image */
  constructor(image) {
    Object.assign(this, { image, wanted: null, isBusy: false, onBusy: () => {}, onError: () => {} });
  }

  show(address) {
    this.wanted = address;
    if (!this.isBusy) this.#work();
  }

  clear() {
    this.wanted = null;
    this.image.hidden = true;
    if (this.image.src) URL.revokeObjectURL(this.image.src);
    this.image.removeAttribute("src");
  }

  async #work() {
    this.isBusy = true;
    this.onBusy(true);
    while (this.wanted) {
      const address = this.wanted;
      try {
        const picture = await (await request(address)).blob();
        if (this.wanted) await this.#draw(picture);
      } catch (error) {
        if (this.wanted) this.onError(error);
      }
      if (this.wanted === address) this.wanted = null;
    }
    this.isBusy = false;
    this.onBusy(false);
  }

  /** Replace the picture only once the next one is decoded: no flash between them. */
  async #draw(picture) {
    const last = this.image.src;
    const next = new Image();
    next.src = URL.createObjectURL(picture);
    await next.decode();
    this.image.src = next.src;
    this.image.hidden = false;
    if (last) URL.revokeObjectURL(last);
  }
}
