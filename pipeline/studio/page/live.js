/** The Live tab: camera or clip, connection, and what the stage shows of them. */

import { StudioError } from "./api.js";
import { cameras, mayAsk, openCamera, openClip } from "./camera.js";
import { acceptDrops, byId, element, notify } from "./elements.js";
import { isPicture } from "./pictures.js";
import { Recorder } from "./recorder.js";
import { connectSocket } from "./socket.js";
import { delayed } from "./sound.js";
import { Split } from "./split.js";
import { connectWebRtc, isAvailable } from "./webrtc.js";

const SETTINGS_SECONDS = 0.1;
const FIGURES_SECONDS = 1;
const RETRY_SECONDS = 10;
const FIRST_FRAME_SECONDS = 30;

const TEXTS = {
  idle: [
    "See yourself as a painting",
    "Start the camera. Your browser asks for it first, because the video goes to the studio's computer, is stylized there, and comes back. Nothing of it is stored.",
  ],
  asking: ["The browser asks for the camera", "Allow it in the box that your browser shows."],
  opening: ["Opening the clip", "It stays on this computer; only its frames go to the studio."],
  connecting: ["Connecting", "The first stylized frame takes a few seconds."],
};
const DROP_HINT = "Or drop a clip here, or a picture to stylize in its style.";
const NO_CAMERA_HINT = "This page was not opened over https, so browsers give it no camera; a clip works.";

export class Live {
  /**
   * @param {import("./style_panel.js").StylePanel} panel
   * @param {import("./pictures.js").Pictures} pictures
   */
  constructor(panel, pictures) {
    this.panel = panel;
    this.stage = byId("live-stage");
    this.before = byId("live-before");
    this.after = byId("live-after");
    this.canvas = byId("live-canvas");
    this.split = new Split(this.stage, byId("live-split"), byId("live-compare"));
    this.recorder = new Recorder(byId("record"), byId("recording"), () => this.#recorded());
    this.attempt = 0;
    byId("start-camera").addEventListener("click", () => this.startCamera());
    byId("stop").addEventListener("click", () => this.stop());
    byId("full-screen").addEventListener("click", () => toggleFullScreen(byId("live-frame"), this.after));
    byId("device").addEventListener("change", () => this.startCamera());
    byId("live-file").addEventListener("change", ({ target }) => {
      if (target.files.length) this.startClip(target.files[0]);
      target.value = "";
    });
    acceptDrops(byId("live"), async (file) => ((await isPicture(file)) ? pictures.add(file) : this.startClip(file)));
    this.after.addEventListener("pause", () => this.after.srcObject?.active && this.#play(this.after.srcObject));
    panel.addEventListener("change", () => this.#settingsChanged());
    window.addEventListener("pagehide", () => this.stop());
    this.#show("idle");
  }

  /** Start with the camera. */
  startCamera() {
    return this.#start("asking", (onEnd) => openCamera(this.before, byId("device").value, onEnd));
  }

  /** Start with a clip of this computer. */
  startClip(file) {
    return this.#start("opening", () => openClip(this.before, file));
  }

  /** End everything: the camera's light goes out, the server forgets this viewer. */
  stop() {
    this.#end();
    this.#show("idle");
  }

  async #start(state, openSource) {
    this.#end();
    const attempt = this.attempt;
    const isCurrent = () => attempt === this.attempt;
    this.#show(state);
    let source;
    try {
      // The source outlives an attempt: a full studio is asked again with the same camera.
      source = await openSource((reason) => (isCurrent() || this.source === source) && this.#fail(reason));
    } catch (error) {
      if (isCurrent()) this.#fail(error.message);
      return;
    }
    if (!isCurrent()) return source.close();
    this.source = source;
    this.#listCameras();
    await this.#connect();
  }

  async #connect() {
    const attempt = this.attempt;
    const isCurrent = () => attempt === this.attempt;
    this.#show("connecting");
    const events = {
      onMessage: (message) => isCurrent() && this.#receive(message),
      onEnd: () => isCurrent() && this.#fail("The connection to the studio broke: start again."),
    };
    let connection;
    try {
      connection = await this.#connectSomehow(events);
    } catch (error) {
      if (!isCurrent()) return;
      if (error.status === 503) this.#wait(error.message);
      else this.#fail(error instanceof StudioError ? error.message : `It does not connect (${error.message}): start again.`);
      return;
    }
    if (!isCurrent()) return connection.close();
    this.connection = connection;
    this.canvas.hidden = !connection.canvas;
    this.after.hidden = Boolean(connection.canvas);
    this.framesBefore = this.#countedFrames();
    if (connection.stream) this.#play(connection.stream);
    this.#sendSettings();
    this.timer = setInterval(() => this.#measure(), FIGURES_SECONDS * 1000);
    await this.#firstFrame(isCurrent);
  }

  /** Not by the attribute autoplay: browsers pause such a video while it is scrolled out of sight. */
  #play(stream) {
    this.after.srcObject = stream;
    this.after.play().catch(() => {}); // the stream ended meanwhile
  }

  /** Connect by WebRTC, or by a WebSocket if that does not get through. */
  async #connectSomehow(events) {
    const wanted = new URLSearchParams(location.search).get("transport");
    if (isAvailable() && wanted !== "socket") {
      try {
        return await connectWebRtc(this.source.stream, events);
      } catch (error) {
        if ([401, 403, 429, 503].includes(error.status)) throw error;
        notify("WebRTC does not get through here; the frames go over the page's own connection.");
      }
    }
    return connectSocket(this.before, this.canvas, events);
  }

  async #firstFrame(isCurrent) {
    const until = performance.now() + FIRST_FRAME_SECONDS * 1000;
    while (isCurrent() && !this.#shownFrames()) {
      if (performance.now() > until) return this.#fail("The studio sends no frames: start again.");
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    if (isCurrent()) this.#show("live");
  }

  #receive(message) {
    if (message.type === "stats") this.stats = message;
    else if (message.type === "notice") notify(message.text);
    else if (message.type === "full") this.#wait(message.text);
    else if (message.type === "pong" && message.id === this.ping?.id) this.pongMs = performance.now() - this.ping.at;
  }

  /** Show that the studio is full, and connect again later; the camera stays on. */
  #wait(reason) {
    const { source } = this;
    this.source = null;
    this.#end();
    this.source = source;
    this.#show("waiting", ["The studio is full", `${reason.replace(/\.?$/, ".")} This page tries again by itself.`]);
    this.timer = setTimeout(() => this.#connect(), RETRY_SECONDS * 1000);
  }

  #fail(reason) {
    this.#end();
    this.#show("over", ["No video yet", reason]);
  }

  #end() {
    this.attempt += 1;
    clearInterval(this.timer);
    this.recorder.stop();
    this.connection?.close();
    this.source?.close();
    this.connection = this.source = this.stats = this.ping = this.pongMs = this.roundTripMs = this.counted = null;
    this.after.srcObject = null;
    this.canvas.hidden = true;
    this.canvas.width = this.canvas.height = 0;
    for (const id of ["fps", "round-trip", "transport"]) byId(id).textContent = "–";
  }

  #show(state, [title, text] = TEXTS[state] ?? []) {
    const isLive = state === "live";
    const isRunning = isLive || ["asking", "opening", "connecting", "waiting"].includes(state);
    this.stage.dataset.state = state;
    byId("live-card").hidden = isLive;
    if (title) [byId("live-title").textContent, byId("live-text").textContent] = [title, text];
    const more = byId("live-more");
    more.textContent = isRunning ? "" : mayAsk() ? DROP_HINT : NO_CAMERA_HINT;
    more.classList.toggle("drop", more.textContent === DROP_HINT);
    byId("live-card").classList.toggle("working", isRunning);
    byId("stop").disabled = !isRunning;
    for (const id of ["live-compare", "record", "full-screen"]) byId(id).disabled = !isLive;
    if (!isLive) this.split.show(false);
    this.#mirrorOriginal();
  }

  async #listCameras() {
    const found = await cameras();
    const current = this.source?.stream.getVideoTracks()[0]?.getSettings().deviceId;
    byId("devices").hidden = found.length < 2;
    byId("device").replaceChildren(
      ...found.map(({ deviceId, label }, index) =>
        element("option", { value: deviceId, selected: deviceId === current }, label || `Camera ${index + 1}`),
      ),
    );
  }

  #settingsChanged() {
    this.#mirrorOriginal();
    this.settingsTimer ??= setTimeout(() => {
      this.settingsTimer = null;
      this.#sendSettings();
    }, SETTINGS_SECONDS * 1000);
  }

  #sendSettings() {
    this.connection?.send({ type: "settings", ...this.panel.settings });
  }

  #mirrorOriginal() {
    this.before.classList.toggle("mirrored", this.panel.settings.mirror);
  }

  #shownFrames() {
    if (!this.connection) return 0;
    const counted = this.#countedFrames();
    if (counted < this.framesBefore) this.framesBefore = 0; // some browsers count each stream from 0
    return this.connection.shown?.() ?? counted - this.framesBefore;
  }

  #countedFrames() {
    return this.after.getVideoPlaybackQuality().totalVideoFrames;
  }

  /** Return what the stage shows, with the sound of the source if that is wanted; null if there is nothing. */
  async #recorded() {
    const { connection, source } = this;
    if (!connection || !source) return null;
    const video = connection.stream ?? connection.canvas.captureStream(30);
    if (!byId("sound").checked) return { stream: video, close: () => {} };
    const sound = await delayed(await source.openSound(), () => this.roundTripMs);
    return { stream: new MediaStream([...video.getVideoTracks(), ...sound.tracks]), close: sound.close };
  }

  /** Show fps and round trip of the last second, and send a ping. */
  async #measure() {
    const [connection, last] = [this.connection, this.counted];
    const counted = { at: performance.now(), frames: this.#shownFrames() };
    this.counted = counted;
    const browserMs = (await connection.delay?.()) ?? 0;
    if (connection !== this.connection) return;
    this.ping = { id: (this.ping?.id ?? 0) + 1, at: performance.now() };
    connection.send({ type: "ping", id: this.ping.id });
    if (this.stage.dataset.state !== "live" || !last) return;
    const summed = this.pongMs != null && this.stats ? this.pongMs + this.stats.stylize_ms + browserMs : null;
    this.roundTripMs = connection.roundTrip?.() ?? summed;
    const fps = (1000 * (counted.frames - last.frames)) / (counted.at - last.at);
    byId("fps").textContent = `${Math.max(0, Math.round(fps))} fps`;
    byId("round-trip").textContent = this.roundTripMs == null ? "–" : `${Math.round(this.roundTripMs)} ms`;
    byId("transport").textContent = connection.name;
  }
}

function toggleFullScreen(frame, video) {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (frame.requestFullscreen) frame.requestFullscreen();
  else video.webkitEnterFullscreen?.(); // an iPhone shows only videos in full
}
