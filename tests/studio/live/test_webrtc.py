"""A page over WebRTC: a video goes in and comes back stylized, as the page has set it."""

import asyncio
import ipaddress
import os
import re
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.studio.answers import RequestError
from pipeline.studio.live.room import LiveRoom
from pipeline.studio.live.webrtc import answer_offer
from tests.support.studio import StudioProcess
from tests.support.studio.asynchronous import run_async
from tests.support.studio.viewers import HEIGHT, WIDTH, Page, open_room, style, until

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("one_thread")]


def with_room(test: Callable[[LiveRoom], Awaitable[None]], **room: Any) -> None:
    """Run ``test`` with a room, in an event loop of its own."""

    async def run() -> None:
        async with open_room(**room) as opened:
            await test(opened)

    run_async(run())


async def connected(room: LiveRoom, page: Page | None = None) -> Page:
    page = page or Page()
    await page.accept(await answer_offer(room, await page.offer()))
    await page.frames(1)
    return page


def test_frames_come_back_stylized_and_follow_the_settings() -> None:
    async def test(room: LiveRoom) -> None:
        page = await connected(room)
        page.send(type="settings", styles=style("great-wave"), strength=1.0)
        stylized = await page.frames(3)
        assert stylized.shape == (HEIGHT, WIDTH, 3)
        page.send(type="settings", styles=style("mondrian"), strength=1.0)
        other = await page.differs_from(stylized)
        page.send(type="settings", styles=style("mondrian"), strength=0.0)
        await page.differs_from(other)
        page.send(type="ping", id=7)
        assert await page.message("pong") == {"type": "pong", "id": 7}
        stats = await page.message("stats")
        assert stats["engine"] == "eager"
        assert stats["fps"] > 0
        assert (stats["width"], stats["height"]) == (256, 144)
        page.send(type="settings", styles=style("no-such-style"))
        assert "no style 'no-such-style'" in (await page.message("notice"))["text"]
        await page.close()

    with_room(test)


def test_a_closed_page_frees_its_place_at_once() -> None:
    async def test(room: LiveRoom) -> None:
        page = await connected(room)
        assert room.free == 0
        other = Page()
        with pytest.raises(RequestError, match="the only place is taken") as refused:
            await answer_offer(room, await other.offer())
        assert refused.value.status == 503
        assert room.waiting == 1
        await page.close()
        await until(lambda: room.free == 1, 5.0)
        assert (await connected(room, other)).count
        assert room.waiting == 0
        await other.close()

    with_room(test, most=1)


def test_two_viewers_have_settings_and_a_state_of_their_own() -> None:
    async def test(room: LiveRoom) -> None:
        first, second = await connected(room), await connected(room)
        first.send(type="settings", styles=style("great-wave"), stability="flow")
        second.send(type="settings", styles=style("mondrian"), strength=0.0, stability="none")
        await first.differs_from(await second.frames(2))
        await first.close()
        await second.frames(5)
        await second.close()

    with_room(test)


async def refusal(room: LiveRoom, offer: dict[str, Any]) -> str | None:
    """The line that refuses an offer; None if it is answered."""
    free, error = room.free, None
    try:
        await answer_offer(room, offer)
    except RequestError as refused:
        error = refused
    if error is None:
        return None
    assert error.status == 400
    assert error.message.isprintable()
    assert error.message.endswith("; reload the page")
    assert room.free == free
    return error.message


def test_malformed_offers_are_refused_in_one_line() -> None:
    """Some are answered, as aiortc reads them as something else; nobody connects, and their places are freed."""

    async def test(room: LiveRoom) -> None:
        page = Page()
        good = (await page.offer())["sdp"]
        changed = [
            good.replace("a=ice-ufrag:", "a=ice-"),
            good.replace("VP8/90000", "XXX/90000").replace("H264/90000", "XXX/90000"),
            good.replace("a=rtcp-mux\r\n", ""),
            good.replace("m=video ", "m=video x"),
            good.replace("a=candidate:", "a=candidate:x y "),
        ]
        for sdp in ["", "v=0", "\0", "é" * 100, "m=video\r\n" * 50, *changed]:
            assert await refusal(room, {"sdp": sdp, "type": "offer"}), sdp
        await refusal(room, {"sdp": good.replace("a=fingerprint:", "a=\x1b[31m:"), "type": "offer"})
        for share in range(1, 20):
            await refusal(room, {"sdp": good[: len(good) * share // 20], "type": "offer"})
        for offer in ({}, {"sdp": good, "type": "answer"}, {"sdp": 1, "type": "offer"}, {"type": "offer"}):
            assert "no offer" in str(await refusal(room, offer))
        sent_only = {"sdp": good.replace("a=sendrecv", "a=sendonly"), "type": "offer"}
        assert "send and receive one video" in str(await refusal(room, sent_only))
        candidates = "a=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n" * 100
        assert "candidates" in str(await refusal(room, {"sdp": good + candidates, "type": "offer"}))
        await page.close()

    with_room(test, most=50)


def test_a_studio_of_this_machine_opens_no_port_to_others(tmp_path: Path) -> None:
    """Neither for video, nor to look up the name that a browser gives in place of its address."""
    running = StudioProcess(tmp_path / "studio", "--viewers", "1")

    async def test() -> None:
        page = Page()
        offer = await page.offer()
        named = "a=candidate:9 1 udp 1 0c2b9a52-6b3f-4d0e-9b5c-1f2e3d4c5b6a.local 9 typ host"
        offer["sdp"] = re.sub("a=candidate", f"{named}\r\na=candidate", offer["sdp"], count=1)
        with running.browser() as client:
            answer = await asyncio.to_thread(lambda: client.post("/api/live/offer", json=offer))
            await page.accept(answer.json())
            await page.frames(1)
            ports = psutil.Process(running.process.pid).net_connections("inet")
        await page.close()
        addresses = {ipaddress.ip_address(each.laddr.ip) for each in ports}
        assert any(each.type == socket.SOCK_DGRAM for each in ports), "video goes over UDP"
        assert all(address.is_loopback for address in addresses), addresses

    try:
        run_async(test())
    finally:
        running.kill()


def leftovers() -> int:
    """Threads, open files and tasks of this process, besides the workers of the event loop."""
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(threads) + len(os.listdir("/proc/self/fd")) + len(asyncio.all_tasks())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_many_pages_that_come_and_go_leave_nothing() -> None:
    """Some close, some vanish without a word; one stays, and goes on."""

    async def test(room: LiveRoom) -> None:
        stays = await connected(room)
        before = leftovers()
        for _ in range(4):
            for page in await asyncio.gather(*(connected(room) for _ in range(2))):
                await page.close()
            for _ in range(5):  # offers that nobody follows up
                page = Page()
                viewer = (await answer_offer(room, await page.offer()))["viewer"]
                await page.close()
                await room.end(viewer)
        await until(lambda: room.free == 3 and leftovers() <= before, 20)
        await stays.frames(5)
        await stays.close()

    with_room(test)
