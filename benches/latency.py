"""A store that is far away: a loopback proxy which passes everything on, half a round trip later."""

import asyncio
import threading

AT_ONCE = 1 << 18


class Far:
    """Listens on a free port and passes on to the store as it is now; a context manager."""

    def __init__(self, ground, milliseconds):
        self.ground, self.round_trip = ground, milliseconds / 1000

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        listening = asyncio.start_server(self.connected, "127.0.0.1", 0, limit=4 * AT_ONCE)
        server = asyncio.run_coroutine_threadsafe(listening, self.loop).result()
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    async def connected(self, reader, writer):
        await asyncio.sleep(self.round_trip)  # the handshake
        try:
            there = await asyncio.open_connection("127.0.0.1", self.ground.store_port, limit=4 * AT_ONCE)
            await asyncio.gather(self.passed(reader, there[1]), self.passed(there[0], writer))
        except ConnectionError:
            writer.close()

    async def passed(self, reader, writer):
        """What was read waits for half a round trip, as much of it as there is: latency, not a bandwidth."""
        queue = asyncio.Queue()

        async def written():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - self.loop.time())
                writer.write(data)
                if not data:
                    return writer.close()
                await writer.drain()

        writing = self.loop.create_task(written())
        try:
            while data := await reader.read(AT_ONCE):
                queue.put_nowait((self.loop.time() + self.round_trip / 2, data))
        finally:
            queue.put_nowait((self.loop.time() + self.round_trip / 2, b""))
            await writing
