/** Record what the stage shows, in the browser; the file goes to its downloads. */

import { clock, element } from "./elements.js";

const TYPES = ["video/mp4;codecs=avc1.42E01F", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const BITS_A_SECOND = 6_000_000;
const CHUNK_SECONDS = 1;

export class Recorder {
  /**
   * @param {HTMLButtonElement} toggle
   * @param {HTMLElement} sign shows for how long
   * @param {() => MediaStream | null} getStream what is shown now
   */
  constructor(toggle, sign, getStream) {
    Object.assign(this, { toggle, sign, getStream, recorder: null });
    toggle.addEventListener("click", () => (this.recorder ? this.stop() : this.start()));
  }

  /** Start a recording. */
  start() {
    const stream = this.getStream();
    if (!stream) return;
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: BITS_A_SECOND });
    const chunks = [];
    recorder.ondataavailable = (event) => event.data.size && chunks.push(event.data);
    recorder.onstop = () => save(new Blob(chunks, { type: recorder.mimeType }));
    recorder.start(CHUNK_SECONDS * 1000);
    const startedAt = performance.now();
    const tick = () => (this.sign.textContent = clock((performance.now() - startedAt) / 1000));
    tick();
    this.recorder = recorder;
    this.timer = setInterval(tick, 500);
    this.#show(true);
  }

  /** End the recording, if there is one, and save it. */
  stop() {
    if (!this.recorder) return;
    clearInterval(this.timer);
    if (this.recorder.state !== "inactive") this.recorder.stop();
    this.recorder = null;
    this.#show(false);
  }

  #show(isRecording) {
    this.sign.hidden = !isRecording;
    this.toggle.setAttribute("aria-pressed", String(isRecording));
    this.toggle.querySelector("span").textContent = isRecording ? "Save" : "Record";
  }
}

function save(blob) {
  if (!blob.size) return;
  const now = new Date();
  const local = new Date(now - now.getTimezoneOffset() * 60_000).toISOString();
  const ending = blob.type.includes("mp4") ? "mp4" : "webm";
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: `flowbrush-${local.slice(0, 19).replace(/[:T]/g, "-")}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
