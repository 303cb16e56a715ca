"""The Live tab in Chromium: what its camera shows comes back stylized."""

import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import Page, Route

from tests.support.studio.page import LivePage, choose_style, difference, until

# The browser starts within the first test; an interrupted one would take the others with it.
pytestmark = [pytest.mark.realtime, pytest.mark.timeout(400)]

OpenPage = Callable[..., Page]
NO_WEBRTC = "delete window.RTCPeerConnection;"
# A style change shows within a second: on a slow machine within the frames of a second.
SECOND, FRAMES = 1.0, 30


def test_the_camera_comes_back_stylized_and_moves(open_page: OpenPage) -> None:
    page = open_page()
    assert "browser asks" in page.inner_text("#live-card")
    live = LivePage(page).start()
    assert live.moves()
    assert difference(live.shown(), live.shown("#live-before")) > 15
    assert live.transport == "WebRTC"
    until(lambda: re.fullmatch(r"\d+ ms", page.inner_text("#round-trip")) is not None)
    assert re.fullmatch(r"\d+ fps", page.inner_text("#fps"))


def test_another_style_shows_within_a_second(live: LivePage) -> None:
    live.choose("starry-night")
    live.settle()
    one, frames = live.mean(), live.frames()
    live.choose("the-scream")
    seconds = until(lambda: difference(live.shown(), one) > 15)
    assert seconds < SECOND or live.frames() - frames < FRAMES


def test_a_blend_lies_between_its_styles_and_strength_0_is_the_original(live: LivePage) -> None:
    page, means = live.page, []
    live.choose("starry-night")
    page.select_option("#second", "the-scream")
    for share in (0, 50, 100):
        page.fill("#blend", str(share))
        live.settle()
        means.append(live.mean())
    whole = difference(means[0], means[2])
    assert whole > 15
    assert difference(means[0], means[1]) < whole > difference(means[1], means[2])
    page.fill("#strength", "0")
    until(lambda: difference(live.shown(), live.shown("#live-before")) < 8)


def test_keep_colors_and_mirror_reach_the_frames(live: LivePage) -> None:
    page = live.page
    live.choose("the-scream")
    live.settle()
    colored = live.mean()
    page.keyboard.press("c")
    assert page.is_checked("#keep-colors")
    until(lambda: difference(live.shown(), colored) > 8)
    page.fill("#strength", "0")
    until(lambda: live.shown()[:, 0, 2].mean() < live.shown()[:, -1, 2].mean() - 60)
    page.keyboard.press("m")
    until(lambda: live.shown()[:, 0, 2].mean() > live.shown()[:, -1, 2].mean() + 60)


def test_the_boundary_of_the_split_view_follows_mouse_and_keys(live: LivePage) -> None:
    page = live.page
    page.click("#live-compare")
    stage = page.locator("#live-stage").bounding_box()
    assert stage is not None
    middle = stage["y"] + stage["height"] / 3
    page.mouse.move(stage["x"] + stage["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.3, middle, steps=4)
    page.mouse.up()
    handle = page.locator("#live-split")
    assert handle.get_attribute("aria-valuenow") == "30"
    page.keyboard.press("ArrowRight")
    assert handle.get_attribute("aria-valuenow") == "32"

    shown, original, stylized = _stage(page), live.shown("#live-before"), live.shown()
    assert difference(shown[:, 1:8], original[:, 1:8]) < difference(shown[:, 1:8], stylized[:, 1:8])
    assert difference(shown[:, 13:31], stylized[:, 13:31]) < difference(shown[:, 13:31], original[:, 13:31])

    page.keyboard.press("End")
    assert handle.get_attribute("aria-valuetext") == "100% original"
    page.click("#live-compare")
    assert handle.is_hidden()


def test_without_webrtc_frames_go_over_a_websocket(open_page: OpenPage) -> None:
    live = LivePage(open_page(script=NO_WEBRTC)).start()
    assert live.transport == "WebSocket"
    assert live.moves()
    assert difference(live.shown(), live.shown("#live-before")) > 15
    one = live.mean()
    live.choose("the-scream")
    until(lambda: difference(live.shown(), one) > 15)


def test_where_no_packet_of_webrtc_gets_through_the_websocket_takes_over(open_page: OpenPage) -> None:
    page = open_page()
    page.route("**/api/live/offer", _without_addresses)
    live = LivePage(page).start()
    assert live.transport == "WebSocket"
    assert live.moves()
    assert "does not get through" in page.inner_text("#notices")


def test_the_websocket_can_be_asked_for(open_page: OpenPage) -> None:
    live = LivePage(open_page(query="?transport=socket")).start()
    assert live.transport == "WebSocket"


def test_a_clip_of_this_computer_takes_the_place_of_the_camera(open_page: OpenPage, clip: Path) -> None:
    page = open_page()
    page.set_input_files("#live-file", clip)
    live = LivePage(page)
    live.wait_for_video()
    assert live.moves()
    live.page.wait_for_timeout(2500)  # the clip has started again
    assert live.moves()


def test_a_reload_frees_the_place_of_the_first_session(open_page: OpenPage) -> None:
    page = open_page()
    free = _free(page)
    LivePage(page).start()
    assert _free(page) == free - 1
    page.reload()
    page.wait_for_selector("body.ready")
    until(lambda: _free(page) == free)
    LivePage(page).start()
    page.click("#stop")
    until(lambda: _free(page) == free)
    assert "Start the camera" in page.inner_text("#live-card")


def test_two_tabs_have_styles_of_their_own(open_page: OpenPage) -> None:
    one, other = LivePage(open_page()), LivePage(open_page())
    choose_style(one.page, "starry-night")
    choose_style(other.page, "the-scream")
    other.start()
    one.page.bring_to_front()
    one.start()
    assert one.moves()
    assert other.moves()
    assert difference(one.mean(), other.mean()) > 15


def test_a_recording_is_a_video_of_what_is_shown(live: LivePage, tmp_path: Path) -> None:
    target = record(live, tmp_path)
    assert target.name.startswith("flowbrush-")
    with av.open(str(target)) as container:
        assert not container.streams.audio
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) > 5
    assert difference(np.mean(frames[-1], axis=(0, 1)), live.mean().mean(axis=(0, 1))) < 15


COUNT_MICROPHONES = """
window.microphones = [];
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async wanted => {
    const stream = await ask(wanted);
    window.microphones.push(...stream.getAudioTracks());
    return stream;
};
"""


def test_a_recording_has_the_sound_of_the_microphone_which_is_on_only_meanwhile(
    open_page: OpenPage, tmp_path: Path
) -> None:
    live = LivePage(open_page(script=COUNT_MICROPHONES)).start()
    live.page.check("#sound")
    assert live.page.evaluate("microphones.length") == 0
    assert loudness(record(live, tmp_path)) > 0.001
    assert live.page.evaluate("microphones.map(track => track.readyState)") == ["ended"]


@pytest.mark.parametrize("transport", ["webrtc", "socket"])
def test_a_recording_of_a_clip_has_its_sound(open_page: OpenPage, clip: Path, tmp_path: Path, transport: str) -> None:
    page = open_page(script=COUNT_MICROPHONES, query=f"?transport={transport}")
    page.set_input_files("#live-file", clip)
    live = LivePage(page)
    live.wait_for_video()
    page.check("#sound")
    assert loudness(record(live, tmp_path)) > 0.001
    assert live.moves(), "the clip plays on"
    assert page.evaluate("microphones.length") == 0


def test_without_a_microphone_nothing_is_recorded_and_one_sentence_says_why(open_page: OpenPage) -> None:
    live = LivePage(open_page()).start()
    page = live.page
    failing = "async () => { throw new DOMException('no luck', 'NotAllowedError'); }"
    page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {failing}; }}")
    page.check("#sound")
    page.click("#record")
    page.get_by_text("may not use the microphone").wait_for()
    assert page.is_hidden("#recording")
    page.uncheck("#sound")
    page.click("#record")
    page.wait_for_selector("#recording")


def test_the_sound_is_as_late_as_the_video(open_page: OpenPage) -> None:
    """A click, delayed by a round trip of 300 ms."""
    page = open_page()
    milliseconds = page.evaluate(LATE_CLICK)
    assert 250 < milliseconds < 450


LATE_CLICK = """async () => {
    const { delayed } = await import(new URL("/page/sound.js", location.href));
    const context = new AudioContext();
    const made = context.createMediaStreamDestination();
    const click = context.createConstantSource();
    const sound = await delayed(made.stream, () => 300);
    await context.resume();
    const heard = context.createAnalyser();
    context.createMediaStreamSource(new MediaStream(sound.tracks)).connect(heard);
    const direct = context.createAnalyser();
    context.createMediaStreamSource(made.stream).connect(direct);
    click.connect(made);
    click.start();
    const samples = new Float32Array(heard.fftSize);
    const since = async (analyser) => {
        do {
            await new Promise(resolve => setTimeout(resolve, 2));
            analyser.getFloatTimeDomainData(samples);
        } while (!samples.some(sample => sample > 0.5));
        return performance.now();
    };
    const [late, early] = await Promise.all([since(heard), since(direct)]);
    sound.close();
    return late - early;
}"""


def record(live: LivePage, folder: Path) -> Path:
    """Record some frames, and return the file."""
    page = live.page
    page.click("#record")
    page.wait_for_selector("#recording")
    shown = page.inner_text("#recording")
    until(lambda: page.inner_text("#recording") >= "0:02" > shown)
    with page.expect_download() as download:
        page.click("#record")
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target


def loudness(path: Path) -> float:
    """Return the root mean square of a file's audio, from 0 to 1."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", 48000)
        samples = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return float(np.sqrt(np.mean(np.concatenate(samples, axis=1) ** 2)))


def test_a_full_studio_says_so_and_the_page_tries_again(open_page: OpenPage) -> None:
    page = open_page()
    answer = {"error": "all places are taken and 1 viewer waits; try again in a minute"}
    page.route("**/api/live/offer", lambda route: route.fulfill(status=503, json=answer), times=1)
    page.click("#start-camera")
    page.wait_for_selector("#live-stage[data-state=waiting]")
    assert answer["error"] in page.inner_text("#live-card")
    assert page.inner_text("#transport") == "–"
    LivePage(page).wait_for_video()
    page.evaluate("document.getElementById('live-before').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
    page.wait_for_selector("#live-stage[data-state=over]")
    assert "unplugged" in page.inner_text("#live-text"), "also noticed after the wait"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NotAllowedError", "allow it at the camera sign"),
        ("NotFoundError", "There is no camera"),
        ("NotReadableError", "in use by another program"),
        ("AbortError", "start it again"),
        ("SurpriseError", "did not start (no luck)"),
    ],
)
def test_each_reason_why_a_camera_does_not_start_is_one_sentence(open_page: OpenPage, name: str, sentence: str) -> None:
    failing = f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('no luck', '{name}'); }};"
    page = open_page(script=failing)
    page.click("#start-camera")
    page.wait_for_selector("#live-stage[data-state=over]")
    text = page.inner_text("#live-text")
    assert sentence in text
    assert text.count(". ") == 0
    assert text.endswith(".")
    assert page.is_visible("#start-camera")


def _without_addresses(route: Route) -> None:
    """Neither side learns where the other one can be reached, as behind a tunnel."""
    addresses = re.compile(r"a=candidate[^\\]*\\r\\n")
    answer = route.fetch(post_data=addresses.sub("", route.request.post_data or ""))
    route.fulfill(response=answer, body=addresses.sub("", answer.text()))


def _free(page: Page) -> int:
    """Return how many live viewers the studio still takes."""
    return int(page.evaluate("fetch('/api/studio').then(answer => answer.json()).then(studio => studio.live.free)"))


def _stage(page: Page) -> np.ndarray:
    """Return ``(18, 32, 3)``: a screenshot of the stage."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(page.locator("#live-stage").screenshot())) as image:
        return np.asarray(image.convert("RGB").resize((32, 18), Image.Resampling.BOX), np.float64)
