"""A process of the studio that counts what it is asked for."""

from pipeline.studio.render.processes.parent import Parent

if __name__ == "__main__":
    parent = Parent(0)
    parent.receive()
    count = 0
    while True:
        parent.receive()
        count += 1
        parent.send({"count": count})
