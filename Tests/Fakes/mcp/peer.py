"""An MCP server built with the official SDK: what our client has to get along with.

    python peer.py stdio | sse | http [--json] [--stateless]

Over HTTP it prints its port on the first line. Tools: add, slow (reports progress), picture, mixed, fails, structured, more (adds a
tool and says so), dropped (ends its own event stream, so that the answer must be fetched by resuming).
"""

import argparse
import asyncio
import base64
import os
import socket

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventMessage, EventStore
from mcp_types import ImageContent, ResourceLink, TextContent, ToolAnnotations

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
server = MCPServer("peer")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return str(a + b)


@server.tool()
async def slow(ctx: Context, steps: int = 3) -> str:
    """Takes a while and says how far it is."""
    for step in range(steps):
        await ctx.report_progress(step, steps, f"step {step}")
        await asyncio.sleep(0.01)
    return f"{steps} steps"


@server.tool()
def picture() -> list[ImageContent]:
    """A red dot."""
    return [ImageContent(type="image", data=base64.b64encode(PNG).decode(), mime_type="image/png")]


@server.tool()
def mixed() -> list[TextContent | ResourceLink]:
    """Text and a link."""
    return [TextContent(type="text", text="see"), ResourceLink(type="resource_link", uri="file:///x.txt", name="x")]


@server.tool()
def fails() -> str:
    """Never works."""
    raise ValueError("out of order")


@server.tool()
def structured(city: str) -> dict[str, str]:
    """Data."""
    return {"city": city, "weather": "fog"}


@server.tool()
async def more(ctx: Context) -> str:
    """Offers another tool from now on."""

    def extra() -> str:
        """Came later."""
        return "extra"

    server.add_tool(extra)
    await ctx.session.send_tool_list_changed()
    return "ok"


@server.tool()
async def dropped(ctx: Context) -> str:
    """Ends the stream of its own answer first."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.05)
    return "resumed"


@server.tool()
def environment() -> str:
    """Names of its variables."""
    return " ".join(sorted(os.environ))


class Memory(EventStore):
    """Keeps every event, so that broken streams can be taken up again."""

    def __init__(self):
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events) - 1)

    async def replay_events_after(self, last_event_id, send_callback):
        index = int(last_event_id)
        stream = self.events[index][0]
        for number, (stream_id, message) in enumerate(self.events):
            if number > index and stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("transport", choices=["stdio", "sse", "http"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stateless", action="store_true")
    options = parser.parse_args()
    if options.transport == "stdio":
        server.run("stdio")
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        print(f"port {port}", flush=True)
        if options.transport == "sse":
            server.run("sse", host="127.0.0.1", port=port)
        else:
            server.run(
                "streamable-http", host="127.0.0.1", port=port, json_response=options.json, stateless_http=options.stateless,
                event_store=None if options.stateless else Memory(), retry_interval=20)
