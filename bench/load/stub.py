"""Answers every request at once, and prints its port: what clients can do when the server costs nothing."""

from __future__ import annotations

import asyncio
import re

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class AtOnce(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._come = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._come += data
        while (end := self._come.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._come, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._come) < whole:
                return
            self._come = self._come[whole:]
            self._transport.write(ANSWER)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(AtOnce, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
