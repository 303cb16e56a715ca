/** Where live frames and the sound of recordings come from: the browser's camera and microphone, or a clip on this computer. */

const WIDTH = 640;
const FPS = 30;

const REASONS = {
  NotAllowedError: "The browser may not use the camera: allow it at the camera sign in the address bar, then start again.",
  NotFoundError: "There is no camera: plug one in and start again, or use a clip instead.",
  NotReadableError: "The camera is in use by another program: close that, then start again.",
  OverconstrainedError: "This camera gives no video of a usable size: choose another one, or use a clip instead.",
  SecurityError: "The browser's settings forbid the camera on this page: allow it there, or use a clip instead.",
  AbortError: "The camera stopped while it started: start it again.",
  InvalidStateError: "The page was not in front: come back to it and start the camera again.",
};

const SOUND_REASONS = {
  NotAllowedError: "The browser may not use the microphone: allow it at the sign in the address bar, then record again",
  NotFoundError: "There is no microphone: plug one in and record again",
  NotReadableError: "The microphone is in use by another program: close that, then record again",
};

const INSECURE =
  "Browsers give a page the camera only over https or on this computer itself: open the https link that the studio printed.";

/** Return in one sentence why the camera did not start, and what to do. */
const explain = (error) =>
  REASONS[error.name] ?? `The camera did not start (${error.message || error.name}): start it again, or use a clip instead.`;

/** Return whether the page may ask for a camera; if not, `INSECURE` says why. */
export const mayAsk = () => Boolean(navigator.mediaDevices?.getUserMedia);

/**
 * Ask for the camera and show it in `video`. `openSound` asks for the microphone.
 * @returns {Promise<{stream: MediaStream, openSound: () => Promise<MediaStream>, close: () => void}>}
 * @throws {Error} whose message is one sentence for the user
 */
export async function openCamera(video, deviceId, onEnd) {
  if (!mayAsk()) throw new Error(INSECURE);
  const wanted = { width: { ideal: WIDTH }, height: { ideal: 360 }, frameRate: { ideal: FPS, max: FPS } };
  if (deviceId) wanted.deviceId = { ideal: deviceId };
  else wanted.facingMode = "user";
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    throw new Error(explain(error));
  }
  const [track] = stream.getVideoTracks();
  track.addEventListener("ended", () => onEnd("The camera was switched off or unplugged: start it again."));
  video.srcObject = stream;
  await play(video);
  return { stream, openSound: openMicrophone, close: () => release(video, stream) };
}

async function openMicrophone() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    const reason = SOUND_REASONS[error.name] ?? `The microphone did not start (${error.message || error.name})`;
    throw new Error(`${reason}; or turn off Record sound.`);
  }
}

/** Play a clip in `video`, over and over; the same as `openCamera` otherwise, with the clip's own sound. */
export async function openClip(video, file) {
  let stream = null;
  const address = URL.createObjectURL(file);
  video.srcObject = null;
  video.src = address;
  video.loop = true;
  try {
    await play(video);
  } catch {
    close();
    throw new Error(`${file.name}: this browser cannot play it; stylize it under Render instead.`);
  }
  stream = capture(video);
  return { stream, openSound, close };

  async function openSound() {
    const [track] = captureStreamOf(video)?.getAudioTracks() ?? [];
    if (!track) throw new Error(`${file.name}: it has no sound, or this browser cannot record it; turn off Record sound.`);
    return new MediaStream([track]);
  }

  function close() {
    if (stream) release(video, stream);
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(address);
  }
}

/** Return the cameras of this computer; they have names once one was allowed. */
export async function cameras() {
  const devices = mayAsk() ? await navigator.mediaDevices.enumerateDevices() : [];
  return devices.filter((device) => device.kind === "videoinput" && device.deviceId);
}

async function play(video) {
  await video.play();
  if (!video.videoWidth) await new Promise((resolve) => video.addEventListener("resize", resolve, { once: true }));
}

/** Return what a video plays as a stream; null in Safari. */
const captureStreamOf = (video) => (video.captureStream ?? video.mozCaptureStream)?.call(video) ?? null;

/** Return what a playing clip shows as a stream of its video alone; Safari needs the detour over a canvas. */
function capture(video) {
  const captured = captureStreamOf(video);
  if (captured) return new MediaStream(captured.getVideoTracks());
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, WIDTH / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  const context = canvas.getContext("2d");
  const stream = canvas.captureStream(FPS);
  const draw = () => {
    if (stream.getVideoTracks()[0].readyState === "ended") return;
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    setTimeout(draw, 1000 / FPS);
  };
  draw();
  return stream;
}

function release(video, stream) {
  for (const track of stream.getTracks()) track.stop();
  video.pause();
  video.srcObject = null;
}
