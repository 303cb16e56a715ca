/** The sound of a recording, as late as the stylized video is. */

const LONGEST_SECONDS = 3;
const FOLLOW_SECONDS = 1;

/**
 * Delay a sound by the round trip of the video, which is measured all the time.
 *
 * @param {MediaStream} stream of a microphone or a clip; its tracks end with the recording
 * @param {() => number | null} roundTripMs how late the video is now
 * @returns {Promise<{tracks: MediaStreamTrack[], close: () => void}>}
 */
export async function delayed(stream, roundTripMs) {
  const context = new AudioContext();
  const delay = context.createDelay(LONGEST_SECONDS);
  const output = context.createMediaStreamDestination();
  const seconds = () => Math.min((roundTripMs() ?? 0) / 1000, LONGEST_SECONDS);
  delay.delayTime.value = seconds();
  const timer = setInterval(() => delay.delayTime.setTargetAtTime(seconds(), context.currentTime, FOLLOW_SECONDS), 1000 * FOLLOW_SECONDS);
  context.createMediaStreamSource(stream).connect(delay).connect(output);
  await context.resume();
  return {
    tracks: output.stream.getAudioTracks(),
    close() {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      context.close();
    },
  };
}
