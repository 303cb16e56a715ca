"""A camera, a stream, the screen: painted as it happens.

    capture thread -> mailbox -> paint thread -> one mailbox for each sink -> sink threads

Every mailbox holds one frame, the newest: whoever is slow misses frames, and delays nobody. `session` starts here.
"""

# PyAV before OpenCV: both wheels carry XCB libraries of the same names, and with OpenCV's loaded first a look at the
# screen (x11grab) ends the process. The other way round OpenCV's windows hang, hence
# `pipeline.live.sinks.window_process`.
import av  # noqa: F401
