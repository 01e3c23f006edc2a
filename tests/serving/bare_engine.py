"""An engine that costs next to nothing, in a process of its own: it answers chat completions after a fixed time.

Run as `python -m tests.serving.bare_engine --port N --delay-ms M`. It speaks just enough HTTP for keep-alive connections.
"""

import argparse
import asyncio
import json

CONTENT = "Your order is packed and leaves tomorrow. 您的订单已打包，明天发货。Is there anything else?"
USAGE = {"prompt_tokens": 300, "completion_tokens": 24, "total_tokens": 324}


def _answer() -> bytes:
    message = {"role": "assistant", "content": CONTENT, "tool_calls": []}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "e", "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other."""

    delay_s = 0.0
    answer = _answer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._held = transport, b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, ended, rest = self._held.partition(b"\r\n\r\n")
        if not ended:
            return
        sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if len(rest) >= (int(sizes[0].split(b":")[1]) if sizes else 0):
            self._held = b""
            asyncio.get_running_loop().call_later(self.delay_s, self._transport.write, self.answer)


async def serve(port: int) -> None:
    """Serves until it is stopped."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--delay-ms", type=float, default=20.0)
    given = options.parse_args()
    Connection.delay_s = given.delay_ms / 1000
    asyncio.run(serve(given.port))
