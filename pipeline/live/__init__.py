"""A camera, a stream, the screen: painted as it happens.

    capture thread -> mailbox -> paint thread -> one mailbox for each sink -> sink threads

Every mailbox holds one frame, the newest: whoever is slow misses frames, and delays nobody. `session` starts here.
"""
