"""The operating system: files that survive a crash, private folders, and the processes that we start."""
