"""A camera, a stream, the screen or a file, stylized live.

    capture thread -> mailbox -> stylize thread -> one mailbox for each sink -> sink threads

Every mailbox holds one frame, the newest: a slow stage drops frames, and delays no other. Start reading at `session`.
"""
