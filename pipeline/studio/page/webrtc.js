/** Live frames over WebRTC: the video goes to the server and comes back stylized; settings go over a data channel. */

import { StudioError, leave, send } from "./api.js";

const GATHER_SECONDS = 2;
const CONNECT_SECONDS = 6;
const LOST_SECONDS = 4;
const WIDEST_PX = 640;
const BITS_A_SECOND = 6_000_000;

/** Return whether this browser has WebRTC. */
export const isAvailable = () => typeof RTCPeerConnection === "function";

/**
 * Connect `stream` with the server.
 *
 * @param {MediaStream} stream of the camera
 * @param {{onMessage: (message: object) => void, onEnd: () => void}} events what the server says; the connection broke
 * @throws {StudioError} with status 503 if the studio is full, another error if WebRTC does not connect
 */
export async function connectWebRtc(stream, { onMessage, onEnd }) {
  const peer = new RTCPeerConnection();
  const channel = peer.createDataChannel("studio");
  const [track] = stream.getVideoTracks();
  const { width = WIDEST_PX } = track.getSettings();
  const encoding = { maxBitrate: BITS_A_SECOND, scaleResolutionDownBy: Math.max(1, width / WIDEST_PX) };
  const { sender, receiver } = peer.addTransceiver(track, { direction: "sendrecv", streams: [stream], sendEncodings: [encoding] });
  receiver.jitterBufferTarget = 0; // the newest frame, not the smoothest video
  channel.onmessage = (event) => onMessage(JSON.parse(event.data));
  let viewer = null;
  const close = () => {
    peer.close();
    return viewer ? leave(viewer) : Promise.resolve();
  };
  try {
    const arrived = once(peer, "track");
    await peer.setLocalDescription();
    await gathered(peer);
    const { sdp, type } = peer.localDescription;
    const answer = await send("/api/live/offer", { sdp, type });
    viewer = answer.viewer;
    await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
    await within(CONNECT_SECONDS, Promise.all([arrived, opened(channel)]));
  } catch (error) {
    await close(); // the next attempt must not find its place taken by this one
    throw error;
  }
  keepResolution(sender);
  const watch = watchForEnd(peer, channel, onEnd);
  return {
    name: "WebRTC",
    stream: new MediaStream([receiver.track]),
    send: (message) => channel.readyState === "open" && channel.send(JSON.stringify(message)),
    delay: delayMeter(peer),
    close() {
      watch.abort();
      close();
    },
  };
}

/** The server chooses the size at which it stylizes; a browser that shrinks frames too would cost detail for nothing. */
function keepResolution(sender) {
  const parameters = { ...sender.getParameters(), degradationPreference: "maintain-resolution" };
  sender.setParameters(parameters).catch(() => {}); // some browsers have no choice
}

const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

const opened = (channel) => (channel.readyState === "open" ? Promise.resolve() : once(channel, "open"));

/** Wait for the addresses of this computer, but not for long: those of the server are enough. */
async function gathered(peer) {
  const limit = new Promise((resolve) => setTimeout(resolve, GATHER_SECONDS * 1000));
  const complete = new Promise((resolve) => {
    const check = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", check);
    check();
  });
  await Promise.race([complete, limit]);
}

function within(seconds, promise) {
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new StudioError("WebRTC does not get through")), seconds * 1000),
  );
  return Promise.race([promise, late]);
}

/** Call `onEnd` once when the connection breaks; not after the signal of the returned controller. */
function watchForEnd(peer, channel, onEnd) {
  const controller = new AbortController();
  const { signal } = controller;
  const end = () => {
    if (signal.aborted) return;
    controller.abort();
    peer.close();
    onEnd();
  };
  let lost = 0;
  const check = () => {
    clearTimeout(lost);
    if (["failed", "closed"].includes(peer.connectionState)) end();
    else if (peer.connectionState === "disconnected") lost = setTimeout(end, LOST_SECONDS * 1000);
  };
  peer.addEventListener("connectionstatechange", check, { signal });
  channel.addEventListener("close", end, { signal });
  return controller;
}

/** Return a function that resolves to the milliseconds that frames spent in this browser since its last call. */
function delayMeter(peer) {
  let last = {};
  return async () => {
    const now = {};
    for (const report of (await peer.getStats()).values()) {
      if (report.kind !== "video") continue;
      if (report.type === "outbound-rtp") [now.encodeTime, now.encoded] = [report.totalEncodeTime, report.framesEncoded];
      if (report.type !== "inbound-rtp") continue;
      [now.waitTime, now.waited] = [report.jitterBufferDelay, report.jitterBufferEmittedCount];
      [now.decodeTime, now.decoded] = [report.totalDecodeTime, report.framesDecoded];
    }
    const mean = (time, count) => {
      const frames = now[count] - (last[count] ?? 0);
      return frames > 0 ? (1000 * (now[time] - (last[time] ?? 0))) / frames : 0;
    };
    const delay = mean("encodeTime", "encoded") + mean("waitTime", "waited") + mean("decodeTime", "decoded");
    last = now;
    return delay;
  };
}
