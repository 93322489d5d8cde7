"""A dyno that does on its socket what its path says, whatever HTTP allows; it keeps what it was sent."""

import json
import socket
import struct
import threading
import time
from contextlib import suppress

HEAD_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class RawDyno:
    """One thread per connection. ``received`` has all bytes of each connection, in the order of connecting."""

    def __init__(self, address: str, port: int) -> None:
        self.received: list[bytearray] = []
        self._listener = socket.create_server((address, port), backlog=512, reuse_port=True)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.received.append(bytearray())
                threading.Thread(target=self._serve, args=(connection, self.received[-1]), daemon=True).start()

    def _serve(self, connection: socket.socket, kept: bytearray) -> None:
        done = 0
        with connection, suppress(OSError):
            while True:
                while HEAD_END not in kept[done:]:
                    if not (received := connection.recv(65536)):
                        return
                    kept += received
                end = kept.index(HEAD_END, done) + len(HEAD_END)
                head = bytes(kept[done:end])
                done = end
                done += self._read_body(connection, kept, end, head)
                if not self._answer(connection, head):
                    return

    def _read_body(self, connection: socket.socket, kept: bytearray, start: int, head: bytes) -> int:
        lowered = head.lower()
        if b"transfer-encoding: chunked" in lowered:
            while b"0\r\n\r\n" not in kept[start:]:
                if not (received := connection.recv(65536)):
                    raise ConnectionError
                kept += received
            return kept.index(b"0\r\n\r\n", start) + 5 - start
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
        while len(kept) - start < length:
            if not (received := connection.recv(65536)):
                raise ConnectionError
            kept += received
        return length

    def _answer(self, connection: socket.socket, head: bytes) -> bool:
        """Whether another request may come."""
        path = head.split(b" ")[1].partition(b"?")[0].decode()
        if path == "/close":
            return False
        if path == "/silent":
            time.sleep(60)
        elif path == "/garbage":
            connection.sendall(b"nonsense\r\n\r\n")
            return False
        elif path == "/cookie":
            connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=" + b"b" * 8200 + b"\r\nContent-Length: 0\r\n\r\n")
        elif path in {"/stall", "/reset"}:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 18)
            time.sleep(60 if path == "/stall" else 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        elif path == "/drip":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            for _ in range(6):
                time.sleep(0.8)
                connection.sendall(b"x")
        elif path == "/flow":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(60):
                connection.sendall(b"x")
                time.sleep(0.5)
            return False
        elif path == "/switch":
            self._switch(connection)
            return False
        elif path == "/echo":
            body = json.dumps({"head": head.decode("latin-1")}).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        else:
            connection.sendall(OK)
        return True

    def _switch(self, connection: socket.socket) -> None:
        """Another protocol: what comes goes back."""
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while received := connection.recv(65536):
            connection.sendall(received)


class FullListener:
    """A port where connections are never established: its queue is full."""

    def __init__(self, address: str, port: int) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._listener.listen(0)
        self._waiting = [socket.socket() for _ in range(3)]
        for each in self._waiting:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect((address, port))
        time.sleep(0.1)

    def close(self) -> None:
        """Refuse connections from now on."""
        for each in (self._listener, *self._waiting):
            each.close()
