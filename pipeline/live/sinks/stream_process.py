"""The process of one stream connection: started as a script, it copies packets to the network.

PyAV holds Python's global lock while an output connects and while it closes, for an unlimited time: in the session's
process an unresponsive server would stop the camera, the network and all other sinks.

Arguments: FFmpeg's name of the container format, and the time limit of one network operation in seconds. The URL is in
the environment, as all users of a machine see arguments. Packets arrive on standard input as NUT. Standard output
carries lines of JSON: ``{"connected": true}``, or ``{"error": REASON}`` at the end.

Imports nothing of flowbrush, so that it starts fast.
"""

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import av

ADDRESS = "FLOWBRUSH_STREAM_ADDRESS"
OPTIONS = {
    "flv": {"flvflags": "no_duration_filesize"},
    "mpegts": {"mpegts_flags": "resend_headers"},
    "rtsp": {"rtsp_transport": "tcp"},
}


def main(url: str, format: str, stall_seconds: float) -> None:
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
            target = av.open(url, "w", format=format, container_options={"flush_packets": "1", **OPTIONS[format]})
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


def _report(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(os.environ.pop(ADDRESS), sys.argv[1], float(sys.argv[2]))
    except (av.FFmpegError, OSError) as error:
        _report(error=error.strerror or type(error).__name__)
        os._exit(1)  # closing a broken output would write once more
    os._exit(0)
