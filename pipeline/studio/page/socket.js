/** Live frames over a WebSocket, where WebRTC is blocked: a frame goes to the server when it asks for the next one. */

import { StudioError } from "./api.js";

const CONNECT_SECONDS = 10;
const WIDEST_PX = 640;
const QUALITY = 0.85;
const HIDDEN_FRAME_SECONDS = 0.25;

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
    const limit = setTimeout(() => reject(new StudioError("The studio does not answer.")), CONNECT_SECONDS * 1000);
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
      reject(new StudioError("The studio ended the connection."));
      if (isConnected && !isClosed) onEnd();
    };
  });
  const close = () => {
    isClosed = true;
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

/** One frame is on its way at a time. */
class FrameExchange {
  shown = 0;
  roundTripMs = null;

  constructor(video, canvas, socket) {
    Object.assign(this, { video, canvas, socket, sentAt: 0 });
    this.scaled = document.createElement("canvas");
  }

  /** Send the next frame that the video shows. */
  async sendNext() {
    await nextFrame(this.video);
    if (this.socket.readyState !== WebSocket.OPEN || !this.video.videoWidth) return;
    this.sentAt = performance.now();
    const scale = Math.min(1, WIDEST_PX / this.video.videoWidth);
    const [width, height] = [this.video.videoWidth, this.video.videoHeight].map((side) => Math.round(side * scale));
    if (this.scaled.width !== width || this.scaled.height !== height) Object.assign(this.scaled, { width, height });
    this.scaled.getContext("2d").drawImage(this.video, 0, 0, width, height);
    const jpeg = await new Promise((resolve) => this.scaled.toBlob(resolve, "image/jpeg", QUALITY));
    if (jpeg && this.socket.readyState === WebSocket.OPEN) this.socket.send(jpeg);
  }

  /** Draw a stylized frame. */
  async show(jpeg) {
    const picture = await createImageBitmap(jpeg);
    const { width, height } = picture;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.shown += 1;
    this.roundTripMs = performance.now() - this.sentAt;
  }
}

/** Wait for a frame that was not sent yet; a page in the background shows none, and sends the present one. */
function nextFrame(video) {
  const limit = new Promise((resolve) => setTimeout(resolve, HIDDEN_FRAME_SECONDS * 1000));
  if (!video.requestVideoFrameCallback) return new Promise((resolve) => setTimeout(resolve, 1000 / 30));
  return Promise.race([limit, new Promise((resolve) => video.requestVideoFrameCallback(resolve))]);
}
