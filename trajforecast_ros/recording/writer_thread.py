"""Between the callbacks that receive messages and the disk: a queue of bytes with a limit, and the thread that empties it."""

import threading
import time
from collections import Counter, deque

from trajforecast_ros.recording.bag_writer import BagWriter, Received

CHUNK_BYTES = 4 << 20
CHUNK_MESSAGES = 400
GATHER_SECONDS = 0.2  # that a message may wait for others to be written with


class WriterThread:
    """Takes messages without waiting; what does not fit into the queue is left out and counted.

    Args:
        most_bytes: that the messages in the queue may have together.
    """

    def __init__(self, bag: BagWriter, most_bytes: int):
        self._bag = bag
        self._most_bytes = most_bytes
        self._wake = threading.Condition()
        self._queue: deque[Received] = deque()
        self._bytes = 0  # in the queue and being written
        self._closing = False
        self._give_up_at = float("inf")
        self.left_out: Counter[str] = Counter()  # by topic
        self.failure: OSError | None = None
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def add(self, received: Received) -> None:
        with self._wake:
            size = len(received.data)
            if self.failure or (self._bytes and self._bytes + size > self._most_bytes):
                self.left_out[received.topic.name] += 1
                return
            self._queue.append(received)
            self._bytes += size
            if len(self._queue) == 1 or self._is_chunk_full():
                self._wake.notify()

    def close(self, seconds: float) -> None:
        """Writes what is in the queue, for no longer than `seconds`, and ends the bag.

        What could not be written is counted as left out; what kept it from being written is in `failure`.
        """
        with self._wake:
            self._closing = True
            self._give_up_at = time.monotonic() + seconds
            self._wake.notify()
        self._thread.join()

    def _is_chunk_full(self) -> bool:
        return len(self._queue) >= CHUNK_MESSAGES or self._bytes >= CHUNK_BYTES

    def _work(self) -> None:
        try:
            while chunk := self._next_chunk():
                self._write(chunk)
        except OSError:
            pass  # it is in `failure`; what was written before is whole and gets its end
        try:
            self._bag.close()
        except OSError as error:
            with self._wake:
                self.failure = self.failure or error

    def _next_chunk(self) -> list[Received]:
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._closing)
            self._wake.wait_for(lambda: self._is_chunk_full() or self._closing, timeout=GATHER_SECONDS)
            if time.monotonic() > self._give_up_at:
                self._leave_out(self._queue)
                self._queue.clear()
            chunk, size = [], 0
            while self._queue and len(chunk) < CHUNK_MESSAGES and size < CHUNK_BYTES:
                chunk.append(self._queue.popleft())
                size += len(chunk[-1].data)
            return chunk

    def _write(self, chunk: list[Received]) -> None:
        try:
            self._bag.write(chunk)
        except OSError as error:
            with self._wake:
                self.failure = error
                self._leave_out([*chunk, *self._queue])
                self._queue.clear()
            raise
        finally:
            with self._wake:
                self._bytes -= sum(len(each.data) for each in chunk)

    def _leave_out(self, messages) -> None:
        self.left_out.update(each.topic.name for each in messages)
