/** Live frames over a WebSocket, where WebRTC is blocked: a frame goes to the server when it asks for the next one. */

import { StudioError } from "./api.js";

const CONNECT_SECONDS = 10;
const LOAD_SECONDS = 120; // a studio that was started just now loads its network first
const WIDEST_PX = 640;
const QUALITY = 0.85;
const FPS = 30;
const HIDDEN_FRAME_SECONDS = 0.25;
const MOST_FRAMES = 2;

/**
 * Send frames of `video` to the server, and draw the stylized ones on `canvas`.
 *
 * @param {{onMessage: (message: object) => void, onEnd: () => void}} events what the server says; the connection broke
 * @throws {StudioError} with status 503 if the studio is full
 */
export async function connectSocket(video, canvas, { onMessage, onEnd }) {
  const address = new URL("/api/live/socket", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  socket.binaryType = "blob";
  const frames = new FrameExchange(video, canvas, socket);
  let [isConnected, isClosed] = [false, false];

  const connected = new Promise((resolve, reject) => {
    let limit = 0;
    const expect = (seconds) => {
      clearTimeout(limit);
      limit = setTimeout(() => reject(new StudioError("The studio does not answer: start again.")), seconds * 1000);
    };
    expect(CONNECT_SECONDS);
    socket.onopen = () => expect(LOAD_SECONDS);
    socket.onmessage = (event) => {
      if (event.data instanceof Blob) return frames.show(event.data);
      const message = JSON.parse(event.data);
      if (message.type === "full") reject(new StudioError(message.text, 503));
      else if (message.type === "next") {
        clearTimeout(limit);
        resolve();
        frames.sendNext();
      } else onMessage(message);
    };
    socket.onclose = () => {
      clearTimeout(limit);
      reject(new StudioError("The studio ended the connection: start again."));
      if (isConnected && !isClosed) onEnd();
    };
  });
  const close = () => {
    isClosed = true;
    frames.close();
    socket.close();
  };
  try {
    await connected;
    isConnected = true;
  } catch (error) {
    close();
    throw error;
  }
  return {
    name: "WebSocket",
    canvas,
    send: (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message)),
    roundTrip: () => frames.roundTripMs,
    shown: () => frames.shown,
    close,
  };
}

/** At most two frames are on their way at a time: one is stylized while the next one arrives. */
class FrameExchange {
  shown = 0;
  roundTripMs = null;

  constructor(video, canvas, socket) {
    Object.assign(this, { video, canvas, socket, sentAt: [] });
    this.fresh = new FreshFrames(video);
    this.scaled = document.createElement("canvas");
  }

  /** Send the newest frame of the video, once it shows one that was not sent yet. */
  async sendNext() {
    await this.fresh.next();
    if (this.socket.readyState !== WebSocket.OPEN || !this.video.videoWidth) return;
    this.sentAt = [...this.sentAt.slice(1 - MOST_FRAMES), performance.now()];
    const scale = Math.min(1, WIDEST_PX / this.video.videoWidth);
    const [width, height] = [this.video.videoWidth, this.video.videoHeight].map((side) => Math.round(side * scale));
    resize(this.scaled, width, height);
    this.scaled.getContext("2d").drawImage(this.video, 0, 0, width, height);
    const jpeg = await new Promise((resolve) => this.scaled.toBlob(resolve, "image/jpeg", QUALITY));
    if (jpeg && this.socket.readyState === WebSocket.OPEN) this.socket.send(jpeg);
  }

  /** Draw a stylized frame. */
  async show(jpeg) {
    const sentAt = this.sentAt.shift();
    const picture = await createImageBitmap(jpeg);
    resize(this.canvas, picture.width, picture.height);
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.shown += 1;
    if (sentAt) this.roundTripMs = performance.now() - sentAt;
  }

  close() {
    this.fresh.close();
  }
}

/** Give a canvas another size; to set the same one again would clear it. */
function resize(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

/** Tells when a video shows a frame that was not sent yet. It watches all the time: browsers are late with a first call. */
class FreshFrames {
  constructor(video) {
    Object.assign(this, { video, isFresh: true, onFresh: () => {} });
    if (!video.requestVideoFrameCallback) this.timer = setInterval(() => this.#arrived(), 1000 / FPS);
    else this.#watch();
  }

  /** Wait for a fresh frame; a page in the background shows none, and after a while the present one counts as fresh. */
  async next() {
    if (!this.isFresh) {
      await new Promise((resolve) => {
        this.onFresh = resolve;
        this.limit = setTimeout(resolve, HIDDEN_FRAME_SECONDS * 1000);
      });
      clearTimeout(this.limit);
    }
    this.isFresh = false;
  }

  close() {
    clearInterval(this.timer);
    this.video.cancelVideoFrameCallback?.(this.call);
  }

  #watch() {
    this.call = this.video.requestVideoFrameCallback(() => {
      this.#watch();
      this.#arrived();
    });
  }

  #arrived() {
    this.isFresh = true;
    this.onFresh();
  }
}
