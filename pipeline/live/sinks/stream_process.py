"""The connection of a stream in a process of its own: started as a script, it copies packets to the network.

PyAV holds Python's lock while an output connects and while it says goodbye, without any limit of time: in the session's
process a server that does not answer would stop the camera, the painter and all other sinks.

Argument: FFmpeg's name of the format; the URL is in the environment, as all users see arguments (those of flowbrush
itself too, unless they name a file: see `pipeline.live.capture.address.read_address`). Packets come on standard input
as NUT;
lines of JSON go out: ``{"connected": true}``, or ``{"error": REASON}`` at the end.
"""

import faulthandler
import json
import os
import signal
import sys

import av

ADDRESS = "FLOWBRUSH_STREAM_ADDRESS"
# A step of the connection that takes longer is a connection lost.
STALL_SECONDS = 10.0
OPTIONS = {
    "flv": {"flvflags": "no_duration_filesize"},
    "mpegts": {"mpegts_flags": "resend_headers"},
    "rtsp": {"rtsp_transport": "tcp"},
}


def main(url: str, form: str) -> None:
    """Copy all packets of standard input to ``url``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the session ends this process in order
    # The header tells all; what is read ahead is late. (`nobuffer` would lose the first picture, and with it all up to
    # the next key picture.)
    options = {"probesize": "32", "analyzeduration": "0"}
    nowhere = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
    packets = open(0, "rb", buffering=0)  # noqa: SIM115 - a buffered reader would wait until its buffer is full
    with av.open(packets, mode="r", format="nut", options=options) as source:
        # The one watchdog that works while a library holds Python's lock.
        faulthandler.dump_traceback_later(STALL_SECONDS, exit=True, file=nowhere)
        target = av.open(url, "w", format=form, container_options={"flush_packets": "1", **OPTIONS[form]})
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        target.start_encoding()
        faulthandler.cancel_dump_traceback_later()
        _tell(connected=True)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                faulthandler.dump_traceback_later(STALL_SECONDS, exit=True, file=nowhere)
                target.mux(packet)
                faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback_later(STALL_SECONDS, exit=True, file=nowhere)
        target.close()


def _tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(os.environ.pop(ADDRESS), *sys.argv[1:])
    except (av.FFmpegError, OSError) as error:
        _tell(error=error.strerror or type(error).__name__)
        os._exit(1)  # closing what is broken would try to write once more
    os._exit(0)
