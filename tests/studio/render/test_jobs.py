"""Render jobs: done in turn, followed by events, cancelled, resumed by the next studio, and downloaded."""

import json
import os
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import av
import httpx
import psutil
import pytest

from pipeline.studio.answers import RequestError
from pipeline.studio.config import StudioConfig
from pipeline.studio.folder import open_folder
from pipeline.studio.render.events import MOST_LISTENERS, Events
from pipeline.studio.render.jobs import Job, JobStore
from pipeline.studio.render.records import new_id
from pipeline.studio.render.runner import MOST_JOBS
from tests.support.media import Clip, make_clip
from tests.support.studio import StudioProcess, make_short_clip, order, studio, upload, wait_for
from tests.support.studio.asynchronous import run_async

LONG_FRAMES = 3000


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_short_clip(tmp_path_factory.mktemp("short") / "my holiday.mp4")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is not done within a test."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return make_clip(path, Clip(pts=range(0, 512 * LONG_FRAMES, 512), width=192, height=108))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio") / "folder"


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with studio(folder) as client:
        yield client


class Listener:
    """Collects the events of a studio in a thread."""

    def __init__(self, client: httpx.Client) -> None:
        self.events: list[dict[str, Any]] = []
        self._client = client
        self.is_open = threading.Event()
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()
        assert self.is_open.wait(60)

    def _listen(self) -> None:
        with self._client.stream("GET", "/api/jobs/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                self.is_open.set()
                if line.startswith("data: "):
                    self.events.append(json.loads(line.removeprefix("data: ")))
                if self.events and self.events[-1]["state"] == "removed":
                    return


def test_a_clip_is_rendered_with_its_audio_and_every_step_is_told(
    client: httpx.Client, folder: Path, short: Path
) -> None:
    listener = Listener(client)
    job = order(client, upload(client, short)["upload"], container="mkv")
    assert (job["state"], job["name"], job["frames"]) == ("waiting", "my holiday.mp4", 30)
    done = wait_for(client, job["job"], "done")
    assert (done["frames_done"], done["frames"], done["error"]) == (30, 30, None)
    answer = client.get(f"/api/jobs/{job['job']}/result")
    assert answer.headers["content-type"] == "video/x-matroska"
    assert "my%20holiday-starry-night.mkv" in answer.headers["content-disposition"]
    assert len(answer.content) == done["result_bytes"]
    result = folder.parent / "result.mkv"
    result.write_bytes(answer.content)
    with av.open(str(result)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert sum(1 for _ in container.decode(video=0)) == 30
    assert client.delete(f"/api/jobs/{job['job']}").json()["state"] == "removed"
    assert client.get(f"/api/jobs/{job['job']}").status_code == 404
    assert not (folder / "jobs" / job["job"]).exists()
    listener.thread.join(60)
    states = [event["state"] for event in listener.events if event["job"] == job["job"]]
    assert states[-2:] == ["done", "removed"]
    assert "running" in states


def test_a_running_job_is_cancelled_and_the_next_one_starts(
    client: httpx.Client, folder: Path, long: Path, short: Path
) -> None:
    first = order(client, upload(client, long)["upload"])["job"]
    second = order(client, upload(client, short)["upload"])["job"]
    waiting = order(client, upload(client, short)["upload"])["job"]
    running = wait_for(client, first, "running", frames=1)
    assert running["frames_done"] < LONG_FRAMES
    assert client.get(f"/api/jobs/{second}").json()["state"] == "waiting"
    assert client.delete(f"/api/uploads/{running['upload']}").status_code == 409
    assert client.delete(f"/api/jobs/{waiting}").json()["state"] == "cancelled"
    assert client.delete(f"/api/jobs/{first}").json()["state"] == "cancelled"
    assert wait_for(client, second, "done")["frames_done"] == 30
    assert os.listdir(folder / "jobs" / first) == ["job.json"], "nothing of it is left"
    assert [client.get(f"/api/jobs/{job}").json()["state"] for job in (first, waiting)] == ["cancelled"] * 2
    assert client.get(f"/api/jobs/{first}/result").status_code == 404


def test_what_cannot_be_rendered_fails_by_one_line(client: httpx.Client, folder: Path, short: Path) -> None:
    """The clip vanishes after it was checked."""
    facts = upload(client, short)
    (folder / "uploads" / facts["upload"] / "clip.mp4").unlink()
    failed = wait_for(client, order(client, facts["upload"])["job"], "failed")
    assert failed["error"].startswith("my holiday.mp4: ")
    assert str(folder) not in failed["error"]
    assert "\n" not in failed["error"]


def test_a_failed_job_is_tried_again_also_by_the_next_studio(tmp_path: Path, short: Path) -> None:
    with studio(tmp_path) as client:
        facts = upload(client, short)
        clip = tmp_path / "uploads" / facts["upload"] / "clip.mp4"
        clip.write_bytes(b"not a clip")
        first = order(client, facts["upload"], container="mkv", strength=0.5)
        second = order(client, facts["upload"])
        for job in (first, second):
            assert wait_for(client, job["job"], "failed")["error"]
        assert client.delete(f"/api/uploads/{facts['upload']}").status_code == 409, "it is still needed"
        clip.write_bytes(short.read_bytes())
        again = client.post(f"/api/jobs/{first['job']}/retry").json()
        assert (again["job"], again["settings"], again["container"]) == (first["job"], first["settings"], "mkv")
        assert (again["error"], again["notices"]) == (None, [])
        assert wait_for(client, first["job"], "done")["frames_done"] == 30
        refused = client.post(f"/api/jobs/{first['job']}/retry")
        assert refused.status_code == 409
        assert refused.json()["error"] == "my holiday.mp4: is done; only a render without a result is tried again"
    with studio(tmp_path) as client:
        assert client.post(f"/api/jobs/{second['job']}/retry").json()["state"] == "waiting"
        assert wait_for(client, second["job"], "done")["result_bytes"]
        assert client.post("/api/jobs/nothing/retry").status_code == 404


def test_a_cancelled_job_is_tried_again_at_once_but_not_without_its_clip(
    client: httpx.Client, folder: Path, long: Path
) -> None:
    facts = upload(client, long)
    job = order(client, facts["upload"])["job"]
    wait_for(client, job, "running", frames=1)
    assert client.post(f"/api/jobs/{job}/retry").status_code == 409, "it runs"
    client.delete(f"/api/jobs/{job}")
    again = client.post(f"/api/jobs/{job}/retry").json()
    assert (again["state"], again["frames_done"]) == ("waiting", 0)
    wait_for(client, job, "running", frames=1)
    client.delete(f"/api/jobs/{job}")
    assert client.delete(f"/api/uploads/{facts['upload']}").status_code == 200
    refused = client.post(f"/api/jobs/{job}/retry")
    assert refused.status_code == 404
    assert "upload it again" in refused.json()["error"]
    assert client.get(f"/api/jobs/{job}").json()["state"] == "cancelled"


def test_a_job_that_is_cancelled_when_its_result_is_complete_keeps_nothing(tmp_path: Path) -> None:
    store, job = JobStore(tmp_path), job_of(1, "cancelled")
    store.write(job)
    store.result(job).write_bytes(b"the whole film")
    store.clear_output(job)
    assert os.listdir(tmp_path / job.job) == ["job.json"], "the next try would take it for its own"


def test_a_result_that_the_last_studio_could_not_note_has_all_its_frames(tmp_path: Path, short: Path) -> None:
    with studio(tmp_path) as client:
        job = order(client, upload(client, short)["upload"])
        wait_for(client, job["job"], "done")
    store = JobStore(tmp_path / "jobs")
    (done,) = store.read()
    store.write(replace(done, state="running", frames_done=0, result_bytes=None))
    with studio(tmp_path) as client:
        again = wait_for(client, job["job"], "done")
    assert (again["frames_done"], again["result_bytes"]) == (30, done.result_bytes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"upload": 1}',
        b'{"upload": "..", "settings": {"styles": [{"name": "starry-night"}]}}',
        b'{"upload": "UPLOAD", "settings": {}}',
        b'{"upload": "UPLOAD", "settings": {"styles": [{"name": "starry-night"}]}, "container": "../mp4"}',
        b'{"upload": "UPLOAD", "settings": {"styles": [{"name": "starry-night"}]}, "container": []}',
        b'{"upload": "UPLOAD", "settings": {"styles": [{"name": "starry-night"}], "strength": 1e999}}',
        b'{"upload": "UPLOAD", "settings": {"styles": [{"name": "/etc/passwd"}]}}',
        b"[" * 50_000,
    ],
)
def test_a_malformed_order_gets_one_line(client: httpx.Client, short: Path, body: bytes) -> None:
    body = body.replace(b"UPLOAD", upload(client, short)["upload"].encode())
    answer = client.post("/api/jobs", content=body)
    assert answer.status_code in (400, 404)
    assert "\n" not in answer.json()["error"]


def test_the_list_of_jobs_is_limited(tmp_path: Path, short: Path) -> None:
    store = JobStore(open_folder(StudioConfig(folder=tmp_path)) / "jobs")
    for number in range(MOST_JOBS):
        store.write(job_of(number, "cancelled"))
    with studio(tmp_path) as client:
        settings = {"styles": [{"name": "starry-night"}]}
        order = {"upload": upload(client, short)["upload"], "settings": settings}
        answer = client.post("/api/jobs", json=order)
        assert answer.status_code == 507
        assert "remove finished ones" in answer.json()["error"]


def test_a_render_that_may_not_fit_is_refused_before_it_starts(tmp_path: Path, long: Path) -> None:
    with studio(tmp_path, max_disk=long.stat().st_size + 50_000) as client:
        settings = {"styles": [{"name": "starry-night"}]}
        answer = client.post("/api/jobs", json={"upload": upload(client, long)["upload"], "settings": settings})
        assert answer.status_code == 507
        assert "more are needed; remove finished clips" in answer.json()["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="the size of files is limited as Linux does")
def test_a_job_that_cannot_be_stored_leaves_the_last_record(tmp_path: Path) -> None:
    import resource

    store, job = JobStore(tmp_path), job_of(1, "waiting")
    store.write(job)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.write(replace(job, state="running"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.read() == [job]
    assert os.listdir(tmp_path / job.job) == ["job.json"]


def test_so_many_pages_may_listen() -> None:
    async def run() -> None:
        events = Events(lambda job_id: None)
        listeners = [events.listen() for _ in range(MOST_LISTENERS)]
        for each in listeners:
            await anext(each)
        with pytest.raises(RequestError, match="pages listen already; close some of them"):
            events.listen()
        await cast("AsyncGenerator[bytes]", listeners.pop()).aclose()
        listeners.append(events.listen())
        for each in listeners:
            await cast("AsyncGenerator[bytes]", each).aclose()

    run_async(run())


def test_jobs_of_an_earlier_studio_wait_again_in_their_order(tmp_path: Path) -> None:
    kept = [job_of(1, "done"), job_of(2, "running"), job_of(3, "waiting"), job_of(4, "failed"), job_of(5, "cancelled")]
    for job in kept:
        JobStore(tmp_path).write(job)
    (tmp_path / ("f" * 24)).mkdir(mode=0o700)  # killed before the job was written
    found = JobStore(tmp_path).read()
    assert [job.number for job in found] == [1, 2, 3, 4, 5]
    assert [job.state for job in found] == ["failed", "waiting", "waiting", "failed", "cancelled"]
    assert "render it again" in (found[0].error or ""), "its result is gone"
    assert len(os.listdir(tmp_path)) == 5


def job_of(number: int, state: Any = "done") -> Job:
    settings = {"styles": [{"name": "starry-night"}]}
    return Job(
        job=new_id(),
        number=number,
        upload=new_id(),
        source="/nowhere/clip.mp4",
        name="clip.mp4",
        settings=settings,
        style="starry-night",
        container="mp4",
        state=state,
    )


@pytest.mark.timeout(600)
def test_a_studio_that_is_killed_resumes_its_jobs_at_the_next_start(tmp_path: Path) -> None:
    slow = make_clip(tmp_path / "slow.mp4", Clip(pts=range(0, 1536 * LONG_FRAMES, 1536)))
    before = StudioProcess(tmp_path / "studio", "--viewers", "0")
    try:
        with before.browser() as client:
            uploaded = upload(client, slow)["upload"]
            first, second = order(client, uploaded)["job"], order(client, uploaded)["job"]
            wait_for(client, first, "running", frames=60)
        children = psutil.Process(before.process.pid).children(recursive=True)
    finally:
        before.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, "nothing goes on without the studio"
    after = StudioProcess(tmp_path / "studio", "--viewers", "0")
    try:
        assert after.token == before.token, "the link stays the same"
        with after.browser() as client:
            assert [job["job"] for job in client.get("/api/jobs").json()["jobs"]] == [first, second]
            resumed = wait_for(client, first, "running", frames=1)
            assert resumed["frames_done"] > 40, "finished segments are not rendered again"
            assert client.get(f"/api/jobs/{second}").json()["state"] == "waiting"
        assert after.stop() == 0
    finally:
        after.kill()
