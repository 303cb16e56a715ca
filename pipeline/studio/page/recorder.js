/** Record what the stage shows, in the browser; the file goes to its downloads. */

import { clock, element, notify } from "./elements.js";

const TYPES = [
  ["video/mp4", "avc1.42E01F", "mp4a.40.2"],
  ["video/mp4", "avc1.42E01F", "opus"],
  ["video/webm", "vp9", "opus"],
  ["video/webm", "vp8", "opus"],
];
const BITS_A_SECOND = 6_000_000;
const CHUNK_SECONDS = 1;

export class Recorder {
  /**
   * @param {HTMLButtonElement} toggle
   * @param {HTMLElement} sign shows for how long
   * @param {() => Promise<{stream: MediaStream, close: () => void} | null>} open what is shown now
   */
  constructor(toggle, sign, open) {
    Object.assign(this, { toggle, sign, open, recorder: null, attempt: 0 });
    toggle.addEventListener("click", () => (this.recorder ? this.stop() : this.start()));
  }

  /** Start a recording. */
  async start() {
    const attempt = ++this.attempt;
    let opened = null;
    try {
      opened = await this.open();
    } catch (error) {
      notify(error.message, { isError: true });
    }
    if (!opened) return;
    if (attempt === this.attempt) this.#record(opened);
    else opened.close();
  }

  /** End the recording, if there is one, and save it. */
  stop() {
    this.attempt += 1;
    if (!this.recorder) return;
    clearInterval(this.timer);
    if (this.recorder.state !== "inactive") this.recorder.stop();
    this.recorder = null;
    this.#show(false);
  }

  #record({ stream, close }) {
    const recorder = new MediaRecorder(stream, { mimeType: typeFor(stream), videoBitsPerSecond: BITS_A_SECOND });
    const chunks = [];
    recorder.ondataavailable = (event) => event.data.size && chunks.push(event.data);
    recorder.onstop = () => {
      close();
      save(new Blob(chunks, { type: recorder.mimeType }));
    };
    recorder.start(CHUNK_SECONDS * 1000);
    const startedAt = performance.now();
    const tick = () => (this.sign.textContent = clock((performance.now() - startedAt) / 1000));
    tick();
    this.recorder = recorder;
    this.timer = setInterval(tick, 500);
    this.#show(true);
  }

  #show(isRecording) {
    this.sign.hidden = !isRecording;
    this.toggle.classList.toggle("active", isRecording);
    this.toggle.querySelector("span").textContent = isRecording ? "Save" : "Record";
  }
}

/** Return the first type that the browser writes; undefined leaves the choice to the browser. */
function typeFor(stream) {
  const hasSound = stream.getAudioTracks().length > 0;
  const types = TYPES.map(([container, video, audio]) => `${container};codecs=${hasSound ? `${video},${audio}` : video}`);
  return types.find((type) => MediaRecorder.isTypeSupported(type));
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
