"""Stores for tests: one in the memory of this process, and a server that speaks S3."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HAS_S3 = all(importlib.util.find_spec(name) for name in ("fsspec", "s3fs", "moto", "flask"))
BUCKET = "clips"


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Context with the URL of an empty bucket on a server of this process, whose address is in the environment."""
    import boto3
    import httpx
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # with the address of another server
    try:
        client = boto3.client("s3")
        httpx.post(f"http://{host}:{port}/moto-api/reset")  # all servers of a process have the same buckets
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield f"s3://{BUCKET}"
    finally:
        server.stop()


@contextmanager
def memory_store() -> Iterator[str]:
    """Context with the URL of an empty store in the memory of this process."""
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem.store.clear()
    try:
        yield "memory://clips"
    finally:
        MemoryFileSystem.store.clear()


def put(url: str, path: Path) -> None:
    """Copy a file to a store."""
    from pipeline.system.urls import Store

    Store(url).upload(str(path), "")
