#!/usr/bin/env python3
"""The Python SDK's runtime on standard input and output, with a few agents.

    ARCP_TOKEN=secret python3 tests/interop/stdio_agents.py

Who starts it shows the token of its environment. tests/interop/stdio.py hosts it in our server.
"""
from __future__ import annotations

import asyncio
import logging
import os
import sys
from decimal import Decimal

import structlog
from arcp import ARCPError, RuntimeInfo
from arcp._transport.stdio import StdioTransport
from arcp.runtime import ARCPRuntime, StaticBearerVerifier


async def kinds(given, ctx):
    await ctx.log("warn", "a line")
    await ctx.thought("a thought")
    await ctx.status("working", "half way")
    await ctx.metric({"name": "tokens.used", "value": 42, "unit": "tokens"})
    await ctx.tool_call({"tool": "search", "args": {"q": "arcp"}, "call_id": "c1"})
    await ctx.tool_result({"call_id": "c1", "result": {"hits": 3}})
    await ctx.job.emit_event(
        "artifact_ref", {"uri": "file:///report.txt", "content_type": "text/plain", "byte_size": 12}
    )
    await ctx.progress(1, total=2, units="steps")
    await ctx.job.emit_event("x-vendor.acme.note", {"text": "a vendor's"})
    return {"given": given}


async def spender(given, ctx):
    """Calls a tool, at a cost, until the lease says no."""
    calls = 0
    while True:
        try:
            ctx.authorize("tool.call", "search")
        except ARCPError as e:
            return {"calls": calls, "ended": e.code}
        await ctx.metric({"name": "cost.tool", "value": Decimal(given["step"]), "unit": "USD"})
        calls += 1


async def chunks(given, ctx):
    stream = ctx.stream_result()
    for n in range(given["count"]):
        await stream.write(f"piece {n}\n")
    await stream.close(summary="in pieces")


async def slow(given, ctx):
    await ctx.status("working")
    await asyncio.sleep(3600)


async def fails(given, ctx):
    raise ARCPError("not today")


async def prints(given, ctx):
    """Says things where they do not belong."""
    print("a line that is no frame")
    print('{"level": "info", "msg": "JSON that is no frame"}')
    print("and one for standard error", file=sys.stderr, flush=True)
    sys.stdout.flush()
    return "printed"


async def dies(given, ctx):
    await ctx.log("info", "the last words")
    await asyncio.sleep(0.2)
    os._exit(3)


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    runtime = ARCPRuntime(
        runtime=RuntimeInfo(name="python-sdk", version="1.1.3"),
        bearer=StaticBearerVerifier({os.environ["ARCP_TOKEN"]: "parent"}),
    )
    for agent in (kinds, spender, chunks, slow, fails, prints, dies):
        runtime.register_agent_version(agent.__name__, "1.0.0", agent)
    await runtime.accept(await StdioTransport.from_std_streams())
    await runtime.close()


if __name__ == "__main__":
    asyncio.run(main())
