"""A process of the studio that never answers, as one whose decoder hangs."""

import time

from pipeline.studio.render.processes.parent import Parent

if __name__ == "__main__":
    Parent(0)
    time.sleep(600)
