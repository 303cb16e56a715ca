"""The process of one stream connection: started as a script, it copies packets to the network.

PyAV holds Python's global lock while an output connects and while it closes, for an unlimited time: in the session's
process an unresponsive server would stop the camera, the network and all other sinks.

Arguments: FFmpeg's name of the container format, the time limit of one network operation in seconds, and FFmpeg's
options for the connection as JSON. The URL is in the environment, as all users of a machine see arguments. Packets
arrive on standard input as NUT. Standard output carries lines of JSON: ``{"connected": true}``, or
``{"error": REASON, "errno": NUMBER}`` at the end.

Imports nothing of flowbrush, so that it starts fast.
"""

import faulthandler
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import av
from av.container import OutputContainer

ADDRESS = "FLOWBRUSH_STREAM_ADDRESS"
OPTIONS = {
    "flv": {"flvflags": "no_duration_filesize"},
    "mpegts": {"mpegts_flags": "resend_headers"},
    "rtsp": {"rtsp_transport": "tcp"},
}


def main(url: str, format: str, stall_seconds: float, connection_options: Mapping[str, str]) -> None:
    """Copy all packets of standard input to ``url``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too; the session ends it in order
    # The header describes everything, and reading ahead would add latency. (`nobuffer` would discard the first key
    # frame, and with it all frames up to the next.)
    options = {"probesize": "32", "analyzeduration": "0"}
    devnull = open(os.devnull, "w")  # noqa: SIM115 - open for as long as the process runs
    packets = open(0, "rb", buffering=0)  # noqa: SIM115 - a buffered reader would wait for a full buffer

    @contextmanager
    def watchdog() -> Iterator[None]:
        """End the process if the body takes too long; works while a library holds Python's global lock."""
        faulthandler.dump_traceback_later(stall_seconds, exit=True, file=devnull)
        yield
        faulthandler.cancel_dump_traceback_later()

    with av.open(packets, mode="r", format="nut", options=options) as source:
        with watchdog():
            target = _open(url, format, connection_options)
            streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
            target.start_encoding()
        _report(connected=True)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                with watchdog():
                    target.mux(packet)
        with watchdog():
            target.close()


def _open(url: str, format: str, connection_options: Mapping[str, str]) -> OutputContainer:
    """Open an output. Only FFmpeg's tee muxer passes options to the connection: PyAV opens those of outputs without."""
    options = {"flush_packets": "1", **OPTIONS[format]}
    if not connection_options:
        return av.open(url, "w", format=format, container_options=options)
    pairs = {"f": format, **options, **connection_options}.items()
    settings = ":".join(f"{key}={_escaped(value)}" for key, value in pairs)
    return av.open(_escaped(f"[{settings}]{url}"), "w", format="tee")


def _escaped(text: str) -> str:
    return re.sub(r"[^\w/.-]", r"\\\g<0>", text)


def _report(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(os.environ.pop(ADDRESS), sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3]))
    except (av.FFmpegError, OSError) as error:
        _report(error=error.strerror or type(error).__name__, errno=error.errno)
        os._exit(1)  # closing a broken output would write once more
    os._exit(0)
