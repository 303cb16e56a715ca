// What `benchmarks/studio.py` runs in the studio's page: the page's own modules, with a camera that carries a counter.
async ({ width, height, seconds, transport, style, waitSeconds }) => {
  const SIDE = 32, BITS = 7;
  const sleep = (time) => new Promise((resolve) => setTimeout(resolve, 1000 * time));
  const peers = [];
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) { super(...options); peers.push(this); }
  };
  const [{ connectSocket }, { connectWebRtc }] = await Promise.all(
    ["socket", "webrtc"].map((name) => import(new URL(`/page/${name}.js`, location.href))),
  );

  const makeVideo = async (stream) => {
    const video = Object.assign(document.createElement("video"), { muted: true, srcObject: stream });
    Object.assign(video.style, { position: "fixed", inset: "0 auto auto 0", width: `${width / 4}px` });
    document.body.append(video);
    await video.play();
    return video;
  };
  const everyFrame = (video, run) => {
    const again = () => { run(); video.requestVideoFrameCallback(again); };
    video.requestVideoFrameCallback(again);
  };

  // Squares: white, black, then bits of a Gray code, so that a blend of two frames is off by one.
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const drawnAt = new Map();
  let count = 0;
  function draw(picture) {
    context.drawImage(picture, 0, 0, width, height);
    count = (count + 1) % (1 << BITS);
    const gray = count ^ (count >> 1);
    const bits = [1, 0, ...Array.from({ length: BITS }, (_, bit) => (gray >> bit) & 1)];
    bits.forEach((bit, index) => {
      context.fillStyle = bit ? "white" : "black";
      context.fillRect(index * SIDE, 0, SIDE, SIDE);
    });
    drawnAt.set(count, performance.now());
  }

  const strip = Object.assign(document.createElement("canvas"), { width: SIDE * (BITS + 2), height: SIDE });
  const reader = strip.getContext("2d", { willReadFrequently: true });
  const taken = [];
  let measuring = false, newest = -1;
  function read(picture, scale) {
    reader.drawImage(picture, 0, 0, strip.width * scale, SIDE * scale, 0, 0, strip.width, SIDE);
    const lumas = Array.from({ length: BITS + 2 }, (_, index) => {
      const { data } = reader.getImageData(index * SIDE + 10, 10, 12, 12);
      return data.reduce((sum, value, at) => sum + (at % 4 < 3 ? value : 0), 0) / (3 * 144);
    });
    const [white, black, ...bits] = lumas;
    if (white - black < 30) return;
    let gray = 0, number = 0;
    bits.forEach((luma, bit) => { if (luma > (white + black) / 2) gray |= 1 << bit; });
    for (; gray; gray >>= 1) number ^= gray;
    const now = performance.now();
    if (measuring && number !== newest && drawnAt.has(number)) taken.push([now, now - drawnAt.get(number)]);
    newest = number;
  }

  const camera = await navigator.mediaDevices.getUserMedia({ video: { width, height, frameRate: 30 } });
  const original = await makeVideo(camera);
  const source = canvas.captureStream(0);
  everyFrame(original, () => { draw(original); source.getVideoTracks()[0].requestFrame(); });

  let stats = null, failure = null;
  const events = {
    onMessage: (message) => {
      if (message.type === "stats") stats = message;
      if (message.type === "notice") failure = new Error(message.text);
    },
    onEnd: () => { failure = new Error("the connection broke"); },
  };
  let connection;
  if (transport === "webrtc") {
    connection = await connectWebRtc(source, events);
    const shown = await makeVideo(connection.stream);
    everyFrame(shown, () => read(shown, shown.videoWidth / width));
  } else {
    const shown = document.createElement("canvas"), shownContext = shown.getContext("2d");
    shownContext.drawImage = (picture, ...place) => {
      CanvasRenderingContext2D.prototype.drawImage.call(shownContext, picture, ...place);
      read(picture, picture.width / width);
    };
    connection = await connectSocket(await makeVideo(source), shown, events);
  }
  connection.send({ type: "settings", styles: [{ name: style, weight: 1 }], strength: 1, stability: "smooth" });

  const begun = performance.now();
  const wait = async (isSo, limit) => {
    while (!isSo() && !failure && performance.now() < begun + 1000 * limit) await sleep(0.2);
    if (failure) throw failure;
  };
  await wait(() => newest >= 0, 120);
  await wait(() => stats && stats.engine && stats.engine !== "eager", waitSeconds);
  if (waitSeconds) await sleep(8);
  const speeds = [], begin = performance.now();
  measuring = true;
  while (performance.now() < begin + 1000 * seconds && !failure) { await sleep(1); if (stats) speeds.push(stats); }
  measuring = false;
  if (failure) throw failure;

  const browser = {};
  if (transport === "webrtc") {
    const reports = [...(await peers.at(-1).getStats()).values()].filter((report) => report.kind === "video");
    const [inbound] = reports.filter((report) => report.type === "inbound-rtp");
    const [outbound] = reports.filter((report) => report.type === "outbound-rtp");
    Object.assign(browser, {
      jitter_ms: (1000 * inbound.jitterBufferDelay) / inbound.jitterBufferEmittedCount,
      encode_ms: (1000 * outbound.totalEncodeTime) / outbound.framesEncoded,
      decode_ms: (1000 * inbound.totalDecodeTime) / inbound.framesDecoded,
      sent_fps: outbound.framesPerSecond,
      mbit_in: (8 * inbound.bytesReceived) / 1e6, mbit_out: (8 * outbound.bytesSent) / 1e6,
      dropped: inbound.framesDropped, lost: inbound.packetsLost,
      resolution: `${outbound.frameWidth}x${outbound.frameHeight}`,
    });
  }
  connection.close();
  for (const track of camera.getTracks()) track.stop();
  return { begin, taken, speeds, browser };
}
