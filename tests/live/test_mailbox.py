"""The mailbox holds the newest item only, and never makes a writer wait."""

import threading
import time

from pipeline.live.mailbox import Mailbox


def test_the_newest_item_is_returned_and_the_others_are_counted() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for number in range(5):
        mailbox.put(number)
    assert mailbox.get() == 4
    assert mailbox.replaced == 4
    assert mailbox.get(0.01) is None


def test_a_waiting_reader_gets_the_next_item() -> None:
    mailbox: Mailbox[str] = Mailbox()
    threading.Timer(0.05, mailbox.put, ["hello"]).start()
    assert mailbox.get(10) == "hello"
    assert mailbox.replaced == 0


def test_a_falsy_item_is_an_item() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(0)
    got: list[int | None] = []
    reader = threading.Thread(target=lambda: got.append(mailbox.get()), daemon=True)
    reader.start()
    reader.join(10)
    assert got == [0]


def test_a_closed_mailbox_returns_its_last_item_and_accepts_no_more() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)
    mailbox.close()
    mailbox.put(2)
    assert mailbox.is_closed
    assert mailbox.get() == 1
    assert mailbox.get() is None


def test_closing_wakes_a_waiting_reader() -> None:
    mailbox: Mailbox[int] = Mailbox()
    threading.Timer(0.05, mailbox.close).start()
    assert mailbox.get() is None


def test_put_never_waits_and_nothing_queues() -> None:
    mailbox: Mailbox[int] = Mailbox()
    got: list[int] = []

    def fetch() -> None:
        while (item := mailbox.get()) is not None:
            got.append(item)
            time.sleep(0.001)

    reader = threading.Thread(target=fetch)
    reader.start()
    for number in range(10_000):
        mailbox.put(number)
    mailbox.close()
    reader.join(10)
    assert got == sorted(got)
    assert got[-1] == 9999
    assert len(got) + mailbox.replaced == 10_000
