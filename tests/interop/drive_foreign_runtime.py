#!/usr/bin/env python3
"""Drive a FOREIGN ARCP v1.1 runtime with the Python SDK client (and with a raw WebSocket client).

    python drive_foreign_runtime.py --url ws://127.0.0.1:7801/arcp --token secret
    python drive_foreign_runtime.py ... --group sdk          only the Python-SDK client scenarios
    python drive_foreign_runtime.py ... --only cancel,resume_live --verbose
    python drive_foreign_runtime.py ... --known python       known defects of the Python SDK runtime
                                                             are printed as XFAIL instead of FAIL
    python drive_foreign_runtime.py ... --json report.json
    python drive_foreign_runtime.py --list

Needs:  pip install -r requirements.txt   (the Python SDK, which brings `websockets`); run.py does it all

One line per scenario:   PASS|FAIL|SKIP|XFAIL|XPASS  <group>/<scenario>  <seconds>  <reason or note>
Exit status 0 when there is no FAIL.  A FAIL that is the Python CLIENT's own fault (it rejects a frame
that the specification allows) carries the tag [client-defect] in its reason.

Groups
    sdk   the Python SDK's ARCPClient does it; passes when the SDK's user would be content
    raw   a plain websocket client sends SDK-shaped frames and checks the wire (sequence numbers,
          resume, errors, negative cases).  Frames that either dialect would send are accepted.

======================================================================================= CONTRACT
The foreign runtime must serve WebSocket text frames, one JSON envelope each, and register these
agents.  Implement them in any language; names, inputs and results are exact, other events in between
(such as an automatic `status {"phase":"running"}`) are allowed.

Tokens:  <token> authenticates principal A;  <token>-b  authenticates a different principal B.
         (If B is refused, the cross-principal scenarios are SKIPped.)

echo          versions 1.0.0 and 2.0.0, default 2.0.0.  Result: its input, unchanged (any JSON value).
chatty        input {"count":N,"delay_ms":D=0}: N `log` events, level "info", message "line <i>" for
              i = 0..N-1, D ms after each one.  Result {"emitted":N}.
slow          input {"seconds":S=30,"tick_ms":T=0}: one `status` event with phase "working"; then runs
              for S seconds or until cancelled; with T > 0 a `log` event "tick <i>" each T ms.
              Result {"slept":S}.
spender       input {"currency":"USD","step":0.4,"max_steps":10,"tool":"search"}: repeat up to max_steps:
              authorize the operation tool.call on <tool> through the lease and the budget; if denied,
              emit tool_result {"call_id","error":{"code","message","retryable"}} and stop; else emit
              tool_call {"tool","args","call_id"}, tool_result {"call_id","result"}, and
              metric {"name":"cost.tool","value":step,"unit":currency}, which spends the budget.
              Result {"ended":<code of the denial, or "MAX_STEPS">,"calls":n,"spent":x}.
              With USD:1.00 and step 0.4: 3 calls, then BUDGET_EXHAUSTED (1.00 -> 0.6 -> 0.2 -> -0.2).
chunker       input {"size":N=5000,"chunk":C=1000,"encoding":"utf8"|"base64"}: streams N bytes as
              result_chunk events of at most C decoded bytes each; byte i is 'a'+(i mod 26) for utf8
              and i mod 256 for base64.  job.result carries result_id and result_size N, no inline result.
progress      input {"total":T=5}: `progress` events current 1..T, total T, units "items".
              Result {"done":T}.
leaseprobe    input {"capability":c,"target":t,"wait_ms":W=0}: after W ms, checks the operation against
              the job's lease (pattern, expiry, budget).  Result {"capability","target","allowed":bool,
              "code":null|"PERMISSION_DENIED"|...}.  Input {"ops":[{"capability","target"},...]} gives
              {"verdicts":[...]} in the same order.  "model.use" is checked as a capability like others.
              The agent must not fail the job because of a denial.
fails         input {"message":m="boom","code":c=null}: raises an ordinary error (-> INTERNAL_ERROR),
              or the protocol error with code c.
Optional agents (scenarios SKIP when the agent is not in the welcome inventory):
kinds         emits one event each of log, thought, status, metric(name tokens.used), tool_call,
              tool_result, artifact_ref{uri,content_type,byte_size}, progress, x-vendor.acme.note{text}.
              Result {"kinds":[the nine names]}.
delegator     input {"agent":a="echo","input":v,"lease_request":{...}}: delegates v to agent a with that
              child lease (needs agent.delegate in its own lease); emits a `delegate` event.
              Result {"delegated":true,"child_job_id":...} or {"delegated":false,"code":...}.
credential    Result {"count": number of provisioned credentials the job holds}; with {"rotate":true}
              it first rotates the first one (status event, phase "credential_rotated").
Runtime settings: resume window >= 60 s, heartbeat interval any (with <= 3 s the heartbeat scenarios
also wait for server pings and for HEARTBEAT_LOST), WebSocket messages of 2 MiB accepted.
================================================================================================
"""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Awaitable, Callable

import pydantic
from ulid import ULID
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

import arcp
from arcp import (
    AgentNotAvailableError,
    AgentVersionNotAvailableError,
    ARCPError,
    ClientInfo,
    DuplicateKeyError,
    InvalidRequestError,
    JobNotFoundError,
    LeaseConstraints,
    LeaseExpiredError,
    ListJobsFilter,
    PermissionDeniedError,
    SessionResume,
    UnauthenticatedError,
    WebSocketTransport,
)
from arcp import CancelledError as ArcpCancelled
from arcp import TimeoutError as ArcpTimeout
from arcp.client import ARCPClient, AutoAckOptions, JobHandle

FEATURES = (
    "heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget", "progress",
    "result_chunk", "agent_versions", "model.use", "provisioned_credentials",
)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Fail(Exception):
    pass


class Skip(Exception):
    pass


def check(cond: Any, msg: str) -> None:
    if not cond:
        raise Fail(msg)


def short(v: Any, n: int = 160) -> str:
    s = v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str)
    return s if len(s) <= n else s[: n - 1] + "…"


def explain(e: BaseException) -> str:
    if isinstance(e, pydantic.ValidationError):
        errs = "; ".join(
            f"{'.'.join(map(str, x['loc'])) or 'payload'}: {x['msg']} (got {short(x['input'], 60)})"
            for x in e.errors()
        )
        return f"[client-defect?] Python client could not parse a frame as {e.title}: {errs}"
    if isinstance(e, TimeoutError) and not isinstance(e, ARCPError):
        return "timed out"
    if isinstance(e, ARCPError):
        return f"{type(e).__name__} code={e.code} retryable={e.retryable}: {e.message}"
    return f"{type(e).__name__}: {e}"


class QuietLog:
    """Stands in for the SDK's structlog logger; keeps what the client complained about."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _add(self, event: str = "", **kw: Any) -> None:
        self.lines.append(f"{event} {short(kw)}")

    debug = info = warning = error = exception = _add

    def bind(self, **_: Any) -> QuietLog:
        return self


class Env:
    def __init__(self, a: argparse.Namespace) -> None:
        self.base, self.token, self.scenario = a.url, a.token, "none"
        self.per_scenario_path = a.per_scenario_path
        self.timeout: float = a.timeout
        self.cleanup: list[Callable[[], Awaitable[Any]]] = []
        self.inventory: dict[str, Any] = {}

    @property
    def url(self) -> str:
        if self.per_scenario_path:
            return self.base.rstrip("/") + "/" + self.scenario
        return self.base

    async def sdk(self, token: str | None = None, **kw: Any) -> ARCPClient:
        t = await asyncio.wait_for(WebSocketTransport.connect(self.url, proxy=None, max_size=None), 5)
        kw.setdefault("features", FEATURES)
        c = ARCPClient(
            client=ClientInfo(name="drive_foreign_runtime", version="1.0"),
            token=token or self.token, logger=QuietLog(), **kw,
        )
        self.cleanup.append(lambda: c.close())
        await c.connect(t)
        return c

    async def raw(self, **kw: Any) -> Raw:
        r = Raw(self, kw.pop("token", None) or self.token, kw.pop("features", FEATURES))
        self.cleanup.append(r.abort)
        await r.open(**kw)
        return r

    def need_agent(self, name: str) -> None:
        if self.inventory and name not in self.inventory:
            raise Skip(f"agent {name!r} is not in the runtime's inventory")


class Raw:
    """A plain websocket client that speaks the SDK dialect and keeps every frame."""

    def __init__(self, env: Env, token: str, features: tuple[str, ...]) -> None:
        self.env, self.token, self.features = env, token, features
        self.frames: list[dict[str, Any]] = []
        self.bad: list[Any] = []
        self.closed = asyncio.Event()
        self.close_info = ""
        self._new = asyncio.Event()
        self._cursor = 0
        self.session_id: str | None = None
        self.welcome: dict[str, Any] = {}
        self.auto_pong = True

    async def open(self, *, hello: bool = True, resume: dict | None = None, auto_pong: bool = True) -> None:
        self.auto_pong = auto_pong
        self.ws = await ws_connect(
            self.env.url, proxy=None, max_size=None, open_timeout=5, ping_interval=None
        )
        self.reader = asyncio.create_task(self._read())
        if hello:
            await self.hello(resume=resume)

    async def hello(self, resume: dict | None = None) -> None:
        p: dict[str, Any] = {
            "client": {"name": "raw-driver", "version": "1.0"},
            "auth": {"scheme": "bearer", "token": self.token},
            "capabilities": {"encodings": ["json"], "features": list(self.features)},
        }
        if resume:
            p["resume"] = resume
        await self.send("session.hello", p)
        f = await self.until(lambda f: f.get("type") in ("session.welcome", "session.error"), "session.welcome")
        if f["type"] == "session.error":
            raise Fail(f"session.error at hello: {short(f.get('payload'))}")
        self.welcome = f
        self.session_id = f.get("session_id") or f["payload"].get("session_id")
        check(self.session_id, "session.welcome has no session_id (envelope or payload)")

    async def _read(self) -> None:
        try:
            async for m in self.ws:
                try:
                    f = json.loads(m)
                    assert isinstance(f, dict)
                except Exception:
                    self.bad.append(m)
                    continue
                self.frames.append({**f, "_t": time.monotonic()})
                self._new.set()
                if f.get("type") == "session.ping" and self.auto_pong:
                    await self.send(
                        "session.pong", {"ping_nonce": f["payload"]["nonce"], "received_at": now()}
                    )
        except ConnectionClosed:
            pass
        finally:
            self.close_info = f"close code={self.ws.close_code} reason={self.ws.close_reason!r}"
            self.closed.set()
            self._new.set()

    async def send(self, type_: str, payload: Any, **top: Any) -> str:
        id_ = top.pop("id", None) or str(ULID())
        env = {"arcp": "1.1", "id": id_, "type": type_}
        if self.session_id:
            env["session_id"] = self.session_id
        env.update(top)
        env["payload"] = payload
        await self.ws.send(json.dumps(env, separators=(",", ":")))
        return id_

    async def text(self, s: str | bytes) -> None:
        await self.ws.send(s)

    async def until(self, pred, what: str, timeout: float | None = None, rewind: bool = False) -> dict[str, Any]:
        """First frame from the cursor on that satisfies pred; the cursor moves behind it."""
        deadline = time.monotonic() + (timeout or self.env.timeout / 2)
        i = 0 if rewind else self._cursor
        while True:
            while i < len(self.frames):
                f = self.frames[i]
                i += 1
                if pred(f):
                    self._cursor = i
                    return f
            if self.closed.is_set():
                raise Fail(f"connection closed while waiting for {what} ({self.close_info})")
            self._new.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                seen = [f.get("type") for f in self.frames[-6:]]
                raise Fail(f"no {what} within {timeout or self.env.timeout / 2:.0f}s; last frames {seen}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._new.wait(), left)

    async def submit(self, agent: str, input_: Any = None, *, ok: bool = True, **kw: Any) -> dict[str, Any]:
        top = {k: kw.pop(k) for k in ("trace_id", "extensions") if k in kw}
        id_ = await self.send("job.submit", {"agent": agent, "input": input_, "lease_request": {}, **kw}, **top)
        f = await self.until(
            lambda f: f.get("type") in ("job.accepted", "session.error")
            or (f.get("type") == "job.error" and f.get("job_id") not in self.my_jobs()),
            "job.accepted", rewind=False,
        )
        f["_submit_id"] = id_
        if ok:
            check(f["type"] == "job.accepted", f"submit of {agent} refused: {short(f.get('payload'))}")
            f["_job"] = f.get("job_id") or f["payload"].get("job_id")
            check(f["_job"], "job.accepted has no job_id")
        return f

    def my_jobs(self) -> set[str]:
        return {
            f.get("job_id") or f["payload"].get("job_id") for f in self.frames if f.get("type") == "job.accepted"
        }

    async def terminal(self, job: str, timeout: float | None = None) -> tuple[str, str | None, dict[str, Any]]:
        f = await self.until(
            lambda f: f.get("type") in ("job.result", "job.error") and f.get("job_id") == job,
            "job.result/job.error", timeout, rewind=True,
        )
        p = f["payload"]
        status = p.get("final_status") or ("error" if f["type"] == "job.error" else None)
        return status, p.get("code"), f

    def events(self, job: str | None = None) -> list[dict[str, Any]]:
        return [
            f for f in self.frames
            if f.get("type") in ("job.event", "job.result", "job.error") and (job is None or f.get("job_id") == job)
        ]

    def seqs(self) -> list[Any]:
        return [f.get("event_seq") for f in self.events()]

    def errors(self) -> list[dict[str, Any]]:
        return [f for f in self.frames if f.get("type") in ("session.error", "job.error")]

    async def drop(self) -> None:
        """Lose the connection without a close handshake."""
        self.ws.transport.abort()
        await asyncio.wait_for(self.closed.wait(), 5)

    async def abort(self) -> None:
        with contextlib.suppress(Exception):
            self.ws.transport.abort()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.reader, 2)

    async def alive(self) -> str:
        """The session still answers; returns how."""
        if self.closed.is_set():
            return f"closed: {self.close_info}"
        n = str(ULID())
        try:
            await self.send("session.ping", {"nonce": n, "sent_at": now()})
            await self.until(
                lambda f: f.get("type") == "session.pong" and f["payload"].get("ping_nonce") == n, "session.pong", 3
            )
        except (Fail, ConnectionClosed) as e:
            return f"dead: {e}" if isinstance(e, Fail) else f"closed: {self.close_info}"
        return "alive"


def result_of(f: dict[str, Any]) -> Any:
    """Inline result of a job.result frame: `result` (draft, Python, TypeScript) or `output` (Go SDK)."""
    p = f["payload"]
    if "result" not in p and "output" not in p:
        raise Fail(f"job.result has no inline result: {short(p)}")
    return p["result"] if "result" in p else p["output"]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


SCENARIOS: dict[str, tuple[str, str, Callable[[Env], Awaitable[str | None]]]] = {}


def scenario(group: str, title: str):
    def deco(fn):
        SCENARIOS[fn.__name__] = (group, title, fn)
        return fn
    return deco


async def collect(h: JobHandle) -> list[dict[str, Any]]:
    return [e async for e in h.events()]


async def done(h: JobHandle, timeout: float = 10) -> Any:
    return await asyncio.wait_for(asyncio.shield(h._terminal), timeout)


async def outcome(h: JobHandle, timeout: float = 10) -> tuple[str, str | None, str]:
    """(status, code, note) however the runtime put it."""
    try:
        r = await done(h, timeout)
    except ArcpCancelled as e:
        return "cancelled", e.code, "job.error CANCELLED"
    except ArcpTimeout as e:
        return "timed_out", e.code, "job.error TIMEOUT"
    except ARCPError as e:
        return "error", e.code, f"job.error {e.code} retryable={e.retryable}"
    return r.final_status, None, f"job.result final_status={r.final_status}"


async def refuse(coro: Awaitable[Any], *want: type[ARCPError]) -> str:
    """The SDK call must raise one of `want`."""
    try:
        r = await coro
    except want as e:
        return f"{e.code}"
    except TimeoutError as e:
        if isinstance(e, ARCPError):
            raise Fail(f"wanted {[w.code for w in want]}, got {explain(e)}") from e
        raise Fail(
            f"wanted {[w.code for w in want]}, but the client timed out waiting: the refusal did not come as "
            "session.error (the Python client does not correlate a job.error that precedes job.accepted)"
        ) from e
    except ARCPError as e:
        raise Fail(f"wanted {[w.code for w in want]}, got {explain(e)}") from e
    if isinstance(r, JobHandle):  # accepted first and failed at once: a form that spares the client's other jobs
        try:
            await done(r, 3)
        except want as e:
            return f"{e.code} (job.accepted first, then job.error)"
        except Exception as e:  # noqa: BLE001
            raise Fail(f"wanted {[w.code for w in want]}, submit succeeded and the job ended with {explain(e)}") from e
    raise Fail(f"wanted {[w.code for w in want]}, but it succeeded: {short(repr(r))}")


# ------------------------------------------------------------------------------------ sdk scenarios


@scenario("sdk", "hello/welcome: identity, features, inventory, resume token")
async def hello_welcome(e: Env) -> str:
    c = await e.sdk()
    w = c.welcome
    check(w.session_id, "no session_id")
    check(w.resume_token, "no resume_token")
    missing = [f for f in FEATURES if f not in c.negotiated_features]
    agents = {a if isinstance(a, str) else a.name: a for a in w.capabilities.agents}
    check("echo" in agents, f"echo not advertised: {list(agents)}")
    inv = agents["echo"]
    check(not isinstance(inv, str), "agent inventory is flat although agent_versions is negotiated")
    check(set(inv.versions) == {"1.0.0", "2.0.0"} and inv.default == "2.0.0", f"echo inventory {inv}")
    return (
        f"runtime={w.runtime.name}/{w.runtime.version} heartbeat={w.heartbeat_interval_sec} "
        f"window={w.resume_window_sec} not_negotiated={missing}"
    )


@scenario("sdk", "a client with no features still gets a session and a result")
async def hello_no_features(e: Env) -> str:
    c = await e.sdk(features=())
    check(c.negotiated_features == (), f"negotiated {c.negotiated_features}")
    h = await c.submit(agent="echo", input={"v": 1})
    check((await done(h)).result == {"v": 1}, "wrong result")
    agents = c.welcome.capabilities.agents
    return f"inventory is {'flat' if all(isinstance(a, str) for a in agents) else 'rich'}"


@scenario("sdk", "bad token: UNAUTHENTICATED")
async def bad_token(e: Env) -> str:
    return await refuse(e.sdk(token="wrong-token"), UnauthenticatedError)


@scenario("sdk", "submit + inline result; bare name resolves to the default version")
async def submit_echo(e: Env) -> str:
    c = await e.sdk()
    v = {"text": "héllo ✓ 日本", "n": 1.5, "null": None, "list": [1, [2, {"x": None}]], "big": 2**53 - 1}
    h = await c.submit(agent="echo", input=v, trace_id=TRACE)
    r = await done(h)
    check(r.final_status == "success", f"final_status {r.final_status}")
    check(r.result == v, f"result differs: {short(r.result)}")
    check(h.agent_ref == "echo@2.0.0", f"accepted.agent = {h.agent_ref!r}")
    check(h.trace_id == TRACE, f"accepted.trace_id = {h.trace_id!r}")
    return f"job_id {h.job_id[:8]}…, completed_at {r.completed_at}"


@scenario("sdk", "several submits in flight on one session")
async def concurrent_submits(e: Env) -> str:
    c = await e.sdk()
    hs = await asyncio.gather(*(c.submit(agent="echo", input={"i": i}) for i in range(8)))
    rs = await asyncio.gather(*(done(h) for h in hs))
    got = [r.result["i"] for r in rs]
    check(got == list(range(8)), f"results bound to the wrong submits: {got}")
    check(len({h.job_id for h in hs}) == 8, "job ids are not distinct")
    rid = [h.accepted.request_id for h in hs]
    return "accepted.request_id echoed" if all(rid) else "no accepted.request_id: client fell back to FIFO"


@scenario("sdk", "null and scalar results; 512 KiB input")
async def result_values(e: Env) -> str:
    c = await e.sdk()
    for v in (None, 0, False, "", [], {}, "x" * 524288):
        r = await done(await c.submit(agent="echo", input=v))
        check(r.result == v, f"echo of {short(v, 20)!r} gave {short(r.result, 20)!r}")
    return "ok"


@scenario("sdk", "echo@1.0.0 pinned")
async def agent_version_pinned(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="echo@1.0.0", input=1)
    check(h.agent_ref == "echo@1.0.0", f"accepted.agent = {h.agent_ref!r}")
    check((await done(h)).result == 1, "wrong result")
    return "ok"


@scenario("sdk", "echo@9.9.9: AGENT_VERSION_NOT_AVAILABLE")
async def agent_version_missing(e: Env) -> str:
    c = await e.sdk()
    return await refuse(c.submit(agent="echo@9.9.9", input=1), AgentVersionNotAvailableError)


@scenario("sdk", "unknown agent: AGENT_NOT_AVAILABLE")
async def agent_unknown(e: Env) -> str:
    c = await e.sdk()
    return await refuse(c.submit(agent="no-such-agent", input=1), AgentNotAvailableError)


@scenario("sdk", "events arrive in order, then the result")
async def events_order(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="chatty", input={"count": 200})
    evs = await asyncio.wait_for(collect(h), 10)
    lines = [x["body"].get("message") for x in evs if x["kind"] == "log"]
    check(lines == [f"line {i}" for i in range(200)], f"{len(lines)} log lines, first {lines[:2]} last {lines[-1:]}")
    check((await done(h)).result == {"emitted": 200}, "wrong result")
    check(all(x["ts"] for x in evs), "an event has no ts")
    return f"{len(evs)} events, latest_event_seq {c.latest_event_seq}"


@scenario("sdk", "every event kind, and a vendor kind")
async def event_kinds(e: Env) -> str:
    e.need_agent("kinds")
    c = await e.sdk()
    h = await c.submit(agent="kinds", input={}, lease_request={"tool.call": ["*"]})
    evs = await asyncio.wait_for(collect(h), 10)
    r = (await done(h)).result
    seen = [x["kind"] for x in evs]
    miss = [k for k in r["kinds"] if k not in seen]
    check(not miss, f"kinds not delivered: {miss}")
    return " ".join(seen)


@scenario("sdk", "progress events")
async def progress(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="progress", input={"total": 5})
    evs = await asyncio.wait_for(collect(h), 10)
    ps = [x["body"] for x in evs if x["kind"] == "progress"]
    check([p["current"] for p in ps] == [1, 2, 3, 4, 5], f"progress {ps}")
    check(all(p["total"] == 5 and p["units"] == "items" for p in ps), f"progress bodies {ps[:2]}")
    check((await done(h)).result == {"done": 5}, "wrong result")
    return "5 progress events"


@scenario("sdk", "result_chunk: utf8 and base64 assembled by the client")
async def result_chunk(e: Env) -> str:
    c = await e.sdk()
    notes = []
    for enc, size, chunk in (("utf8", 5000, 1000), ("base64", 70000, 32768), ("utf8", 1, 1)):
        h = await c.submit(agent="chunker", input={"size": size, "chunk": chunk, "encoding": enc})
        data = await asyncio.wait_for(h.collect_chunks(), 10)
        r = await done(h)
        want = bytes((i % 256) if enc == "base64" else 97 + i % 26 for i in range(size))
        check(data == want, f"{enc}: {len(data)} bytes, wanted {size}; equal prefix "
              f"{next((i for i, (x, y) in enumerate(zip(data, want)) if x != y), min(len(data), size))}")
        check(r.result_id, f"{enc}: job.result has no result_id")
        check(r.result is None, f"{enc}: inline result next to result_id")
        notes.append(f"{enc}/{size}: result_size={r.result_size}")
        check(r.result_size in (None, size), f"{enc}: result_size {r.result_size}, wanted {size}")
    return "; ".join(notes)


@scenario("sdk", "one result_chunk of 1 MiB (the SDK's own cap) reaches the client")
async def result_chunk_1mib(e: Env) -> str:
    c = await e.sdk()
    n = 1024 * 1024
    h = await c.submit(agent="chunker", input={"size": n, "chunk": n, "encoding": "utf8"})
    data = await asyncio.wait_for(h.collect_chunks(), 20)
    check(len(data) == n, f"{len(data)} bytes")
    return "ok (with max_size=None; the SDK's default WebSocketTransport.connect limits frames to 1 MiB)"


@scenario("sdk", "one result_chunk of 1 MiB through the SDK's default transport")
async def result_chunk_default_limit(e: Env) -> str:
    t = await WebSocketTransport.connect(e.url, proxy=None)  # no max_size: websockets' default, 1 MiB
    c = ARCPClient(client=ClientInfo(name="d", version="1"), token=e.token, features=FEATURES, logger=QuietLog())
    e.cleanup.append(lambda: c.close())
    await c.connect(t)
    n = 1024 * 1024
    h = await c.submit(agent="chunker", input={"size": n, "chunk": n, "encoding": "utf8"})
    data = await asyncio.wait_for(h.collect_chunks(), 20)
    if len(data) != n:
        raise Fail(
            f"[client-defect] got {len(data)} bytes: a chunk at the SDK's own cap (1 MiB) makes a frame over the 1 MiB "
            f"limit of WebSocketTransport.connect; the connection died ({t._conn.close_code}). Keep frames under 1 MiB"
        )
    return "ok"


@scenario("sdk", "cancel a running job")
async def cancel(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="slow", input={"seconds": 30})
    await asyncio.wait_for(h._events.get(), 5)
    t0 = time.monotonic()
    await c.cancel_job(h.job_id, reason="test")
    try:
        status, _, note = await outcome(h, 8)
    except pydantic.ValidationError as x:
        raise Fail(f"[client-defect] {explain(x)}; session is dead afterwards") from x
    check(status == "cancelled", f"terminal status {status} ({note})")
    r = await done(await c.submit(agent="echo", input=1))
    check(r.result == 1, "session unusable after the cancel")
    return f"{note}, {time.monotonic() - t0:.2f}s"


@scenario("sdk", "cancel of an unknown job: JOB_NOT_FOUND, session lives on")
async def cancel_unknown(e: Env) -> str:
    c = await e.sdk()
    await c.cancel_job("job_01J00000000000000000000000")
    await asyncio.sleep(0.3)
    r = await done(await c.submit(agent="echo", input=1))
    check(r.result == 1, "session unusable")
    return "ok"


@scenario("sdk", "agent failure: INTERNAL_ERROR; coded failure keeps its code")
async def agent_fails(e: Env) -> str:
    c = await e.sdk()
    st, code, note = await outcome(await c.submit(agent="fails", input={"message": "kaboom"}))
    check(st == "error" and code == "INTERNAL_ERROR", f"{st}/{code}")
    st, code, note2 = await outcome(await c.submit(agent="fails", input={"code": "PERMISSION_DENIED"}))
    check(st == "error" and code == "PERMISSION_DENIED", f"{st}/{code}")
    return f"{note}; {note2}"


@scenario("sdk", "max_runtime_sec: timed_out / TIMEOUT")
async def max_runtime(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="slow", input={"seconds": 30}, max_runtime_sec=1)
    try:
        st, code, note = await outcome(h, 8)
    except pydantic.ValidationError as x:
        raise Fail(f"[client-defect] {explain(x)}") from x
    check(st == "timed_out", f"{st}/{code} ({note})")
    return note


@scenario("sdk", "idempotent retry while running: same job, one execution")
async def idempotent_retry(e: Env) -> str:
    c = await e.sdk()
    k = f"idem-{ULID()}"
    h1 = await c.submit(agent="slow", input={"seconds": 1}, idempotency_key=k)
    h2 = await c.submit(agent="slow", input={"seconds": 1}, idempotency_key=k)
    check(h1.job_id == h2.job_id, f"different jobs {h1.job_id} {h2.job_id}")
    r = await done(h2, 6)
    check(r.result == {"slept": 1}, f"result {r.result}")
    n = [j for j in (await c.list_jobs(limit=500)).jobs if j.job_id == h1.job_id]
    return f"same job_id; listed {len(n)}x; first handle resolved={h1._terminal.done()}"


@scenario("sdk", "idempotent retry after the job ended: same job_id, result again")
async def idempotent_after_end(e: Env) -> str:
    c = await e.sdk()
    k = f"idem-{ULID()}"
    h1 = await c.submit(agent="echo", input={"k": 1}, idempotency_key=k)
    r1 = await done(h1)
    h2 = await c.submit(agent="echo", input={"k": 1}, idempotency_key=k)
    check(h1.job_id == h2.job_id, f"different jobs {h1.job_id} {h2.job_id}")
    try:
        r2 = await done(h2, 3)
    except TimeoutError:
        return "same job_id; the terminal is NOT replayed (the second handle never resolves)"
    check(r2.result == r1.result, "different result")
    return "same job_id; terminal replayed"


@scenario("sdk", "idempotency key is per principal and survives a new session")
async def idempotent_new_session(e: Env) -> str:
    c = await e.sdk()
    k = f"idem-{ULID()}"
    h1 = await c.submit(agent="echo", input={"k": 1}, idempotency_key=k)
    await done(h1)
    c2 = await e.sdk()
    h2 = await c2.submit(agent="echo", input={"k": 1}, idempotency_key=k)
    check(h1.job_id == h2.job_id, "a new session of the same principal started a second job")
    try:
        c3 = await e.sdk(token=e.token + "-b")
    except ARCPError:
        return "same principal ok; no second principal"
    h3 = await c3.submit(agent="echo", input={"k": 1}, idempotency_key=k)
    check(h3.job_id != h1.job_id, "another principal's key resolved to A's job")
    return "ok"


@scenario("sdk", "same key, other parameters: DUPLICATE_KEY")
async def duplicate_key(e: Env) -> str:
    c = await e.sdk()
    k = f"dup-{ULID()}"
    await done(await c.submit(agent="echo", input={"k": 1}, idempotency_key=k))
    return await refuse(c.submit(agent="echo", input={"k": 2}, idempotency_key=k), DuplicateKeyError)


@scenario("sdk", "list_jobs: status and agent filters, limit + cursor")
async def list_jobs(e: Env) -> str:
    c = await e.sdk()
    t0 = now()
    hs = [await c.submit(agent="slow", input={"seconds": 20}) for _ in range(5)]
    for h in hs:
        await asyncio.wait_for(h._events.get(), 5)
    ids = {h.job_id for h in hs}
    run = await asyncio.wait_for(c.list_jobs(filter=ListJobsFilter(status=("running",), created_after=t0)), 6)
    got = {j.job_id for j in run.jobs}
    check(ids <= got, f"{len(ids & got)}/5 running jobs listed with status=running")
    ent = next(j for j in run.jobs if j.job_id in ids)
    check(ent.status == "running" and ent.agent.startswith("slow"), f"entry {ent}")
    none = await c.list_jobs(filter=ListJobsFilter(status=("cancelled",), created_after=t0))
    check(not ids & {j.job_id for j in none.jobs}, "status filter ignored")
    seen, cur, pages = [], None, 0
    while pages < 20:
        p = await c.list_jobs(filter=ListJobsFilter(status=("running",), created_after=t0), limit=2, cursor=cur)
        check(len(p.jobs) <= 2, f"page of {len(p.jobs)} with limit 2")
        seen += [j.job_id for j in p.jobs]
        pages, cur = pages + 1, p.next_cursor
        if not cur:
            break
    check(ids <= set(seen) and len(seen) == len(set(seen)), f"paging gave {len(seen)} ids, {len(set(seen))} distinct")
    full = await c.list_jobs(filter=ListJobsFilter(agent="slow@1.0.0", status=("running",)))
    bare = await c.list_jobs(filter=ListJobsFilter(agent="slow", status=("running",)))
    other = await c.list_jobs(filter=ListJobsFilter(agent="chatty", status=("running",)))
    check(not ids & {j.job_id for j in other.jobs}, "agent filter ignored")
    f_ok, b_ok = (ids <= {j.job_id for j in x.jobs} for x in (full, bare))
    for h in hs:
        await c.cancel_job(h.job_id)
    check(b_ok, f"filter agent='slow' (bare name) finds nothing; the resolved form 'slow@1.0.0' matches: {f_ok}")
    return f"{pages} pages; agent filter bare={b_ok} resolved={f_ok}; fields {sorted(ent.model_dump(exclude_none=True))}"


@scenario("sdk", "list_jobs does not show another principal's jobs")
async def list_jobs_other_principal(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="slow", input={"seconds": 5})
    try:
        b = await e.sdk(token=e.token + "-b")
    except ARCPError as x:
        raise Skip(f"no second principal: {explain(x)}") from x
    page = await asyncio.wait_for(b.list_jobs(limit=1000), 6)
    leak = h.job_id in {j.job_id for j in page.jobs}
    await c.cancel_job(h.job_id)
    check(not leak, "B sees A's job")
    return f"B sees {len(page.jobs)} jobs of its own"


@scenario("sdk", "subscribe from a second session: live events and terminal")
async def subscribe_live(e: Env) -> str:
    c1, c2 = await e.sdk(), await e.sdk()
    h = await c1.submit(agent="slow", input={"seconds": 1.5, "tick_ms": 100})
    await asyncio.wait_for(h._events.get(), 5)
    sub = await asyncio.wait_for(c2.subscribe(h.job_id), 6)
    evs = await asyncio.wait_for(collect(sub.handle), 8)
    r = await done(sub.handle, 5)
    check(any(x["kind"] == "log" for x in evs), f"no live event reached the subscriber ({len(evs)} events)")
    check(r.result == {"slept": 1.5}, f"subscriber result {r.result}")
    return f"{len(evs)} live events, subscribed_from={sub.subscribed_from}, agent={sub.handle.agent_ref}"


@scenario("sdk", "subscribe with history: the SDK user sees the earlier events")
async def subscribe_history(e: Env) -> str:
    c1, c2 = await e.sdk(), await e.sdk()
    h = await c1.submit(agent="slow", input={"seconds": 2, "tick_ms": 100})
    for _ in range(6):
        await asyncio.wait_for(h._events.get(), 5)
    sub = await asyncio.wait_for(c2.subscribe(h.job_id, history=True, from_event_seq=0), 6)
    evs = await asyncio.wait_for(collect(sub.handle), 8)
    kinds_ = [(x["kind"], x["body"].get("message") or x["body"].get("phase")) for x in evs]
    first = next((m for k, m in kinds_ if k == "log"), None)
    if first != "tick 0":
        raise Fail(
            f"runtime says replayed={sub.replayed}, but the first log the SDK user sees is {first!r}, not 'tick 0'"
            " (the Python client drops job.event frames that arrive before its subscribe() call has returned)"
        )
    return f"{len(evs)} events from tick 0, replayed={sub.replayed}"


@scenario("sdk", "unsubscribe stops the stream, the job goes on")
async def unsubscribe(e: Env) -> str:
    c1, c2 = await e.sdk(), await e.sdk()
    h = await c1.submit(agent="slow", input={"seconds": 2, "tick_ms": 100})
    await asyncio.wait_for(h._events.get(), 5)
    sub = await asyncio.wait_for(c2.subscribe(h.job_id), 6)
    await asyncio.sleep(0.5)
    await c2.unsubscribe(h.job_id)
    await asyncio.sleep(0.3)
    n = sub.handle._events.qsize()
    await asyncio.sleep(0.8)
    check(sub.handle._events.qsize() == n, f"{sub.handle._events.qsize() - n} events after unsubscribe")
    check((await done(h, 5)).result == {"slept": 2}, "job did not finish for its owner")
    return f"{n} events before, none after"


@scenario("sdk", "subscribe to an unknown job: JOB_NOT_FOUND")
async def subscribe_unknown(e: Env) -> str:
    c = await e.sdk()
    return await refuse(asyncio.wait_for(c.subscribe("job_01J00000000000000000000000"), 5), JobNotFoundError)


@scenario("sdk", "subscribe by another principal: JOB_NOT_FOUND (or PERMISSION_DENIED)")
async def subscribe_other_principal(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="slow", input={"seconds": 5})
    try:
        b = await e.sdk(token=e.token + "-b")
    except ARCPError as x:
        raise Skip(f"no second principal: {explain(x)}") from x
    try:
        return await refuse(asyncio.wait_for(b.subscribe(h.job_id), 5), PermissionDeniedError, JobNotFoundError)
    finally:
        await c.cancel_job(h.job_id)


@scenario("sdk", "cancel by another principal has no effect")
async def cancel_other_principal(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="slow", input={"seconds": 1.2})
    try:
        b = await e.sdk(token=e.token + "-b")
    except ARCPError as x:
        raise Skip(f"no second principal: {explain(x)}") from x
    await b.cancel_job(h.job_id)
    st, code, _ = await outcome(h, 6)
    check(st == "success", f"A's job ended {st}/{code}")
    return "job ran to success"


@scenario("sdk", "resume(): same session id, token rotates, cursor advances")
async def resume(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="chatty", input={"count": 5})
    await done(h)
    last, w = c.latest_event_seq, c.welcome
    c._transport._conn.transport.abort()
    await asyncio.sleep(0.3)
    t = await WebSocketTransport.connect(e.url, proxy=None, max_size=None)
    c2 = ARCPClient(client=ClientInfo(name="resumer", version="1"), token=e.token, features=FEATURES, logger=QuietLog())
    e.cleanup.append(lambda: c2.close())
    w2 = await c2.resume(
        t, resume=SessionResume(session_id=w.session_id, resume_token=w.resume_token, last_event_seq=last - 3)
    )
    check(w2.session_id == w.session_id, "another session id after resume")
    check(w2.resume_token != w.resume_token, "resume token did not rotate")
    await asyncio.sleep(0.4)
    check(c2.latest_event_seq == last, f"replay reached seq {c2.latest_event_seq}, wanted {last}")
    r = await done(await c2.submit(agent="echo", input=1))
    check(r.result == 1, "session unusable after resume")
    return f"replayed 3 events up to seq {last}, new job works"


@scenario("sdk", "resume with a wrong token is refused")
async def resume_bad_token(e: Env) -> str:
    c = await e.sdk()
    w = c.welcome
    c._transport._conn.transport.abort()
    await asyncio.sleep(0.2)
    t = await WebSocketTransport.connect(e.url, proxy=None)
    c2 = ARCPClient(client=ClientInfo(name="resumer", version="1"), token=e.token, logger=QuietLog())
    try:
        await c2.resume(t, resume=SessionResume(session_id=w.session_id, resume_token="rtk_wrong", last_event_seq=0))
    except ARCPError as x:
        await t.close()
        return x.code
    raise Fail("resume with a wrong token succeeded")


@scenario("sdk", "auto-ack while a chatty job runs")
async def ack(e: Env) -> str:
    c = await e.sdk(auto_ack=AutoAckOptions(every_n=10, interval_sec=0.1))
    h = await c.submit(agent="chatty", input={"count": 60, "delay_ms": 10})
    evs = await asyncio.wait_for(collect(h), 10)
    await c.ack(c.latest_event_seq)
    r = await done(await c.submit(agent="echo", input=1))
    check(r.result == 1, "session unusable")
    return f"{len(evs)} events, acked to {c.latest_event_seq}"


@scenario("sdk", "budget: counters are echoed, and the spender is stopped by BUDGET_EXHAUSTED")
async def budget_exhausted(e: Env) -> str:
    c = await e.sdk()
    try:
        h = await c.submit(
            agent="spender", input={"step": 0.4, "max_steps": 10},
            lease_request={"tool.call": ["*"], "cost.budget": ["USD:1.00"]},
        )
    except pydantic.ValidationError as x:
        raise Fail(f"[client-defect] {explain(x)} (the specification's budget is a number)") from x
    evs = await asyncio.wait_for(collect(h), 10)
    r = (await done(h)).result
    check(r["ended"] == "BUDGET_EXHAUSTED", f"spender result {r}")
    check(r["calls"] == 3, f"{r['calls']} calls before exhaustion, wanted 3")
    den = [x["body"] for x in evs if x["kind"] == "tool_result" and "error" in x["body"]]
    check(den and den[0]["error"]["code"] == "BUDGET_EXHAUSTED", f"denial event {den}")
    check(den[0]["error"].get("retryable") is False, "BUDGET_EXHAUSTED must be retryable:false")
    rem = [x["body"]["value"] for x in evs if x["kind"] == "metric" and x["body"]["name"] == "cost.budget.remaining"]
    return f"accepted.budget={h.budget} remaining={rem}"


@scenario("sdk", "budget not exceeded: MAX_STEPS; currencies are independent")
async def budget_ok(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(
        agent="spender", input={"step": 0.1, "max_steps": 4, "currency": "EUR"},
        lease_request={"tool.call": ["sea*"], "cost.budget": ["USD:0.10", "EUR:5"]},
    )
    r = (await done(h)).result
    check(r["ended"] == "MAX_STEPS" and r["calls"] == 4, f"{r}")
    return f"accepted.budget={h.budget}"


PROBES = [
    ("net.fetch", "https://api.example.com/v1/x", True),
    ("net.fetch", "https://evil.example.org/", False),
    ("fs.read", "/workspace/app/src/main.rs", True),
    ("fs.read", "/etc/passwd", False),
    ("fs.write", "/workspace/app/src/main.rs", False),
    ("tool.call", "search.web", True),
    ("tool.call", "shell", False),
    ("x-vendor.acme.gpu", "a100", True),
]


@scenario("sdk", "lease: allowed and denied operations")
async def permission_denied(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(
        agent="leaseprobe",
        input={"ops": [{"capability": a, "target": t} for a, t, _ in PROBES]},
        lease_request={
            "net.fetch": ["https://api.example.com/**"], "fs.read": ["/workspace/**"],
            "tool.call": ["search.*"], "x-vendor.acme.gpu": ["*"],
        },
    )
    vs = (await done(h)).result["verdicts"]
    bad = [
        f"{a} {t}: allowed={v['allowed']} code={v['code']}"
        for (a, t, want), v in zip(PROBES, vs)
        if v["allowed"] is not want or (not want and v["code"] != "PERMISSION_DENIED")
    ]
    check(not bad, "; ".join(bad))
    return f"{len(PROBES)} verdicts as wanted"


@scenario("sdk", "lease: an empty lease denies everything")
async def lease_empty(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="leaseprobe", input={"capability": "tool.call", "target": "x"})
    v = (await done(h)).result
    check(v["allowed"] is False and v["code"] == "PERMISSION_DENIED", f"{v}")
    return "ok"


@scenario("sdk", "model.use patterns")
async def model_use(e: Env) -> str:
    c = await e.sdk()
    if not c.has_feature("model.use"):
        raise Skip("model.use is not negotiated")
    h = await c.submit(
        agent="leaseprobe",
        input={"ops": [{"capability": "model.use", "target": m} for m in ("tier-fast/small", "gpt-9")]},
        lease_request={"model.use": ["tier-fast/*"]},
    )
    vs = (await done(h)).result["verdicts"]
    check([v["allowed"] for v in vs] == [True, False], f"{vs}")
    check(vs[1]["code"] == "PERMISSION_DENIED", f"{vs[1]}")
    return "ok"


@scenario("sdk", "unknown lease namespace: INVALID_REQUEST")
async def lease_bad_namespace(e: Env) -> str:
    c = await e.sdk()
    return await refuse(
        c.submit(agent="echo", input=1, lease_request={"made.up": ["*"]}), InvalidRequestError, PermissionDeniedError
    )


@scenario("sdk", "expires_at in the past: INVALID_REQUEST")
async def lease_expires_past(e: Env) -> str:
    c = await e.sdk()
    return await refuse(
        c.submit(agent="echo", input=1, lease_constraints=LeaseConstraints(expires_at=later(-60))),
        InvalidRequestError,
    )


@scenario("sdk", "lease expires while the job runs: LEASE_EXPIRED, not retryable")
async def lease_expired(e: Env) -> str:
    c = await e.sdk()
    exp = later(1.2)
    h = await c.submit(
        agent="leaseprobe", input={"capability": "tool.call", "target": "x", "wait_ms": 2500},
        lease_request={"tool.call": ["*"]}, lease_constraints=LeaseConstraints(expires_at=exp),
    )
    check(h.lease_constraints and h.lease_constraints.expires_at, "accepted does not echo lease_constraints")
    t0 = time.monotonic()
    try:
        r = await done(h, 8)
    except LeaseExpiredError as x:
        check(x.retryable is False, "LEASE_EXPIRED must be retryable:false")
        return f"job.error LEASE_EXPIRED after {time.monotonic() - t0:.1f}s"
    v = r.result
    check(isinstance(v, dict) and v.get("code") == "LEASE_EXPIRED", f"operation after expiry gave {v}")
    return "the operation after expiry was refused with LEASE_EXPIRED; job ended normally"


@scenario("sdk", "provisioned credentials: in accepted, not in list_jobs, not for a subscriber of another principal")
async def credentials(e: Env) -> str:
    c = await e.sdk()
    if not c.has_feature("provisioned_credentials"):
        raise Skip("provisioned_credentials is not negotiated")
    h = await c.submit(
        agent="credential" if "credential" in e.inventory or not e.inventory else "echo", input={},
        lease_request={"cost.budget": ["USD:2.00"], "model.use": ["tier-fast/*"]},
    )
    check(h.credentials, "no credentials in job.accepted")
    cr = h.credentials[0]
    check(cr.scheme == "bearer" and cr.value and cr.endpoint and cr.id, f"credential {cr}")
    await done(h)
    page = (await c.list_jobs(limit=1000)).model_dump_json()
    check(cr.value not in page, "list_jobs shows the credential value")
    h2 = await c.submit(agent="slow", input={"seconds": 0})
    v2 = h2.credentials[0].value if h2.credentials else None
    check(v2 != cr.value, "the same credential value was used for two jobs")
    k = sorted(cr.model_dump(mode="json", by_alias=True, exclude_none=True)["constraints"] or {}) if cr.constraints else []
    return f"{len(h.credentials)} credential(s), constraints {k}"


@scenario("sdk", "delegation: child lease must be a subset")
async def delegate(e: Env) -> str:
    e.need_agent("delegator")
    c = await e.sdk()
    lease = {"agent.delegate": ["*"], "tool.call": ["search.*"]}
    h = await c.submit(
        agent="delegator", input={"agent": "echo", "input": {"v": 1}, "lease_request": {"tool.call": ["search.web"]}},
        lease_request=lease,
    )
    evs = await asyncio.wait_for(collect(h), 10)
    r = (await done(h)).result
    check(r["delegated"] is True and r.get("child_job_id"), f"{r}")
    d = [x["body"] for x in evs if x["kind"] == "delegate"]
    check(d, "no delegate event")
    h = await c.submit(
        agent="delegator", input={"agent": "echo", "input": 1, "lease_request": {"tool.call": ["*"]}},
        lease_request=lease,
    )
    r2 = (await done(h)).result
    check(r2["delegated"] is False and r2["code"] == "LEASE_SUBSET_VIOLATION", f"widening child: {r2}")
    return f"delegate body keys {sorted(d[0])}"


@scenario("sdk", "close() leaves the running job alone; it can be watched from a new session")
async def close_keeps_job(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="slow", input={"seconds": 1.5, "tick_ms": 200})
    await asyncio.wait_for(h._events.get(), 5)
    await c.close()
    c2 = await e.sdk()
    sub = await asyncio.wait_for(c2.subscribe(h.job_id), 5)
    r = await done(sub.handle, 6)
    check(r.result == {"slept": 1.5}, f"{r}")
    return "job finished after its session was closed"


@scenario("sdk", "a refused submit does not disturb another running job")
async def error_isolation(e: Env) -> str:
    c = await e.sdk()
    h = await c.submit(agent="slow", input={"seconds": 1})
    with contextlib.suppress(ARCPError, TimeoutError):
        await c.submit(agent="no-such-agent", input=1)
    try:
        r = await done(h, 5)
    except ARCPError as x:
        raise Fail(
            f"[client-defect] the refusal of one submit killed the handle of another job: {explain(x)} (the Python "
            "client fails every handle on any session.error; a runtime avoids it only by not sending session.error)"
        ) from x
    check(r.result == {"slept": 1}, f"{r}")
    return "ok"


# ------------------------------------------------------------------------------------ raw scenarios


@scenario("raw", "wire: event_seq is session-scoped, starts at 1, gap-free over several jobs")
async def wire_event_seq(e: Env) -> str:
    r = await e.raw()
    a = await r.submit("chatty", {"count": 20})
    b = await r.submit("progress", {"total": 5})
    await r.terminal(a["_job"])
    await r.terminal(b["_job"])
    s = r.seqs()
    check(s == list(range(1, len(s) + 1)), f"event_seq {short(s)}")
    bad = [f["type"] for f in r.frames if f.get("type") not in ("session.welcome",) and f.get("session_id") != r.session_id]
    check(not bad, f"frames without this session's session_id: {bad[:5]}")
    for j in (a["_job"], b["_job"]):
        acc = next(i for i, f in enumerate(r.frames) if f.get("type") == "job.accepted"
                   and (f.get("job_id") or f["payload"].get("job_id")) == j)
        check(acc < r.frames.index(r.events(j)[0]), "an event came before its job.accepted")
    ns = [f["type"] for f in r.frames if "event_seq" in f and f["type"] not in ("job.event", "job.result", "job.error")]
    check(not ns, f"event_seq on {ns}")
    return f"1..{len(s)}; accepted keys {sorted(a['payload'])}"


@scenario("raw", "wire: trace_id is carried on the job's frames")
async def wire_trace_id(e: Env) -> str:
    r = await e.raw()
    a = await r.submit("chatty", {"count": 2}, trace_id=TRACE)
    _, _, t = await r.terminal(a["_job"])
    miss = [f["type"] for f in r.events(a["_job"]) if f.get("trace_id") != TRACE]
    check(a.get("trace_id") == TRACE or a["payload"].get("trace_id") == TRACE, "not on job.accepted")
    check(not miss, f"missing on {miss}")
    return "ok"


@scenario("raw", "session.ping is answered with session.pong")
async def heartbeat_ping(e: Env) -> str:
    r = await e.raw()
    n = str(ULID())
    await r.send("session.ping", {"nonce": n, "sent_at": now()})
    f = await r.until(lambda f: f.get("type") == "session.pong", "session.pong", 3)
    check(f["payload"].get("ping_nonce") == n, f"pong {f['payload']}")
    check(f["payload"].get("received_at"), "pong has no received_at")
    check("event_seq" not in f, "pong carries event_seq")
    return f"heartbeat_interval_sec={r.welcome['payload'].get('heartbeat_interval_sec')}"


@scenario("raw", "server pings an idle client; a client that pongs stays")
async def heartbeat_server(e: Env) -> str:
    r = await e.raw()
    hb = r.welcome["payload"].get("heartbeat_interval_sec")
    if not hb or hb > 3:
        raise Skip(f"heartbeat_interval_sec={hb}; start the runtime with 1 to run this")
    await asyncio.sleep(hb * 3.5)
    pings = [f for f in r.frames if f.get("type") == "session.ping"]
    check(not r.closed.is_set(), f"closed although pongs were sent: {r.close_info}")
    st = await r.alive()
    check(st == "alive", st)
    return f"{len(pings)} server pings in {hb * 3.5:.0f}s"


@scenario("raw", "a silent client loses the session (HEARTBEAT_LOST) but not its job")
async def heartbeat_lost(e: Env) -> str:
    r = await e.raw(auto_pong=False)
    hb = r.welcome["payload"].get("heartbeat_interval_sec")
    if not hb or hb > 3:
        raise Skip(f"heartbeat_interval_sec={hb}; start the runtime with 1 to run this")
    a = await r.submit("slow", {"seconds": hb * 8})
    try:
        await asyncio.wait_for(r.closed.wait(), hb * 5)
    except TimeoutError:
        raise Fail(f"still connected after {hb * 5}s of silence (MAY in the specification)") from None
    how = [f["payload"].get("code") for f in r.frames if f.get("type") == "session.error"]
    r2 = await e.raw()
    await r2.send("job.subscribe", {"job_id": a["_job"], "history": False}, job_id=a["_job"])
    f = await r2.until(lambda f: f.get("type") in ("job.subscribed", "session.error", "job.error"), "job.subscribed")
    check(f["type"] == "job.subscribed", f"job gone: {short(f['payload'])}")
    check(f["payload"]["current_status"] in ("running", "success"), f"job is {f['payload']['current_status']}")
    return f"{r.close_info} session.error={how}; job still {f['payload']['current_status']}"


async def _resume_after_drop(e: Env, agent: str, inp: dict, n_before: int, gap: float) -> tuple[Raw, Raw, str]:
    r = await e.raw()
    a = await r.submit(agent, inp)
    for _ in range(n_before):
        await r.until(lambda f: f.get("type") == "job.event", "job.event")
    last = max(r.seqs())
    await r.drop()
    await asyncio.sleep(gap)
    r2 = await e.raw(
        resume={
            "session_id": r.session_id, "resume_token": r.welcome["payload"]["resume_token"], "last_event_seq": last,
        }
    )
    check(r2.session_id == r.session_id, "another session id after resume")
    r2.last = last  # type: ignore[attr-defined]
    return r, r2, a["_job"]


@scenario("raw", "drop mid-job, resume: missed events are replayed and the live stream goes on to the end")
async def resume_live(e: Env) -> str:
    r, r2, job = await _resume_after_drop(e, "chatty", {"count": 30, "delay_ms": 60}, 5, 0.6)
    try:
        await r2.terminal(job, 6)
    except Fail as x:
        raise Fail(f"{x}; after resume got event_seq {r2.seqs()[:3]}…{r2.seqs()[-2:]} ({len(r2.seqs())} events)") from x
    s = r2.seqs()
    check(s == list(range(r2.last + 1, r2.last + 1 + len(s))), f"gap or repeat after {r2.last}: {short(s)}")
    m = [f["payload"]["body"]["message"] for f in r.events(job) + r2.events(job)
         if f["type"] == "job.event" and f["payload"]["kind"] == "log"]
    check(m == [f"line {i}" for i in range(30)], f"{len(m)} of 30 lines over both connections")
    return f"events {r2.last + 1}..{s[-1]} after resume, nothing lost"


@scenario("raw", "job ends while the client is away: resume delivers the rest and the result")
async def resume_after_end(e: Env) -> str:
    r, r2, job = await _resume_after_drop(e, "chatty", {"count": 12, "delay_ms": 40}, 3, 1.2)
    try:
        st, _, _ = await r2.terminal(job, 4)
    except Fail as x:
        raise Fail(f"{x}; after resume got {len(r2.seqs())} events") from x
    check(st == "success", st)
    s = r2.seqs()
    check(s == list(range(r2.last + 1, r2.last + 1 + len(s))), f"gap or repeat after {r2.last}: {short(s)}")
    return f"events {s[0]}..{s[-1]} replayed"


@scenario("raw", "replay keeps frames: ids and bodies of replayed events are those sent before")
async def resume_replay_same(e: Env) -> str:
    r = await e.raw()
    a = await r.submit("chatty", {"count": 5})
    await r.terminal(a["_job"])
    before = {f["event_seq"]: (f["type"], json.dumps(f["payload"], sort_keys=True), f["id"]) for f in r.events()}
    await r.drop()
    await asyncio.sleep(0.3)
    r2 = await e.raw(
        resume={"session_id": r.session_id, "resume_token": r.welcome["payload"]["resume_token"], "last_event_seq": 0}
    )
    await r2.terminal(a["_job"])
    after = {f["event_seq"]: (f["type"], json.dumps(f["payload"], sort_keys=True), f["id"]) for f in r2.events()}
    check({k: v[:2] for k, v in before.items()} == {k: v[:2] for k, v in after.items()}, "replayed events differ")
    same = all(before[k][2] == after[k][2] for k in before)
    return f"{len(after)} events, envelope ids {'kept' if same else 'new'}"


@scenario("raw", "resume of a client that missed nothing (cursor = last emitted)")
async def resume_caught_up(e: Env) -> str:
    r = await e.raw()
    a = await r.submit("chatty", {"count": 5})
    await r.terminal(a["_job"])
    last = max(r.seqs())
    await r.drop()
    await asyncio.sleep(0.3)
    r2 = await e.raw(
        resume={"session_id": r.session_id, "resume_token": r.welcome["payload"]["resume_token"], "last_event_seq": last}
    )
    a = await r2.submit("chatty", {"count": 2})
    await r2.terminal(a["_job"])
    s = r2.seqs()
    check(s and s[0] == last + 1 and s == list(range(s[0], s[0] + len(s))), f"after cursor {last}: {short(s)}")
    return f"nothing replayed, numbering goes on at {s[0]}"


@scenario("raw", "resume while the old connection is still open (half-open TCP)")
async def resume_while_connected(e: Env) -> str:
    r = await e.raw()
    a = await r.submit("chatty", {"count": 3})
    await r.terminal(a["_job"])
    try:
        r2 = await e.raw(resume={"session_id": r.session_id, "resume_token": r.welcome["payload"]["resume_token"],
                                 "last_event_seq": 1})
    except Fail as x:
        return f"refused while the old connection lives: {x}"
    await asyncio.sleep(0.3)
    return (f"taken over; replayed {r2.seqs()}; old connection "
            f"{'closed: ' + r.close_info if r.closed.is_set() else 'still open: ' + await r.alive()}")


@scenario("raw", "credential rotation: the submitter gets the new value in a status event")
async def credential_rotated(e: Env) -> str:
    if e.inventory and "credential" not in e.inventory:
        raise Skip("agent 'credential' is not in the runtime's inventory")
    r = await e.raw()
    a = await r.submit("credential", {"rotate": True}, lease_request={"cost.budget": ["USD:1"]})
    if not a["payload"].get("credentials"):
        raise Skip("no credentials provisioned")
    await r.terminal(a["_job"])
    rot = [f["payload"]["body"] for f in r.events(a["_job"]) if f["type"] == "job.event"
           and f["payload"]["body"].get("phase") == "credential_rotated"]
    if not rot:
        raise Skip("the agent cannot rotate (no status credential_rotated)")
    check(rot[0].get("id") and rot[0].get("value"), f"rotation body {rot[0]}")
    r2 = await e.raw()
    await r2.send("job.subscribe", {"job_id": a["_job"], "history": True, "from_event_seq": 0}, job_id=a["_job"])
    f = await r2.until(lambda f: f.get("type") in ("job.subscribed", "session.error", "job.error"), "an answer")
    await asyncio.sleep(0.3)
    leak = [x for x in r2.frames if rot[0]["value"] in json.dumps(x)]
    return f"rotated; history to a second session of the same principal shows the value: {bool(leak)} ({f['type']})"


@scenario("raw", "resume beyond the emitted sequence / of an unknown session is refused")
async def resume_unknown(e: Env) -> str:
    out = []
    for what, res in (
        ("unknown session", {"session_id": "sess_01J00000000000000000000000", "resume_token": "x", "last_event_seq": 0}),
    ):
        try:
            await e.raw(resume=res)
        except Fail as x:
            check("session.error" in str(x), f"{what}: {x}")
            out.append(f"{what}: {x}")
        else:
            raise Fail(f"{what}: accepted")
    r = await e.raw()
    await r.drop()
    await asyncio.sleep(0.2)
    try:
        await e.raw(
            resume={"session_id": r.session_id, "resume_token": r.welcome["payload"]["resume_token"], "last_event_seq": 999}
        )
        out.append("cursor 999 beyond the log: ACCEPTED")
    except Fail as x:
        out.append(f"cursor 999: {x}")
    return "; ".join(out)


@scenario("raw", "subscribe with history: job.subscribed and the replayed events, in which order")
async def subscribe_history_wire(e: Env) -> str:
    r1, r2 = await e.raw(), await e.raw()
    a = await r1.submit("slow", {"seconds": 1.5, "tick_ms": 100})
    for _ in range(6):
        await r1.until(lambda f: f.get("type") == "job.event", "job.event")
    await r2.send("job.subscribe", {"job_id": a["_job"], "history": True, "from_event_seq": 0}, job_id=a["_job"])
    sub = await r2.until(lambda f: f.get("type") in ("job.subscribed", "session.error", "job.error"), "job.subscribed")
    check(sub["type"] == "job.subscribed", short(sub["payload"]))
    await r2.terminal(a["_job"], 5)
    evs = r2.events(a["_job"])
    ticks = [f["payload"]["body"].get("message") for f in evs if f["type"] == "job.event" and f["payload"]["kind"] == "log"]
    check(ticks and ticks[0] == "tick 0", f"history does not begin at tick 0: {ticks[:3]}")
    check(ticks == [f"tick {i}" for i in range(len(ticks))], f"ticks lost or repeated: {short(ticks)}")
    s = [f["event_seq"] for f in evs]
    check(s == list(range(s[0], s[0] + len(s))), f"subscriber's event_seq not contiguous: {short(s)}")
    n_before = sum(1 for f in evs if r2.frames.index(f) < r2.frames.index(sub))
    return (
        f"{n_before} events before job.subscribed, {len(evs) - n_before} after; seq {s[0]}..{s[-1]}; "
        f"subscribed keys {sorted(sub['payload'])}"
    )


@scenario("raw", "a frame that is not JSON")
async def malformed_frame(e: Env) -> str:
    r = await e.raw()
    await r.text('{"arcp":"1.1","id":')
    await asyncio.sleep(0.3)
    err = [f["payload"].get("code") for f in r.errors()]
    st = await r.alive()
    r2 = await e.raw()
    a = await r2.submit("echo", 1)
    await r2.terminal(a["_job"])
    return f"errors={err}, session {st}, other sessions ok"


@scenario("raw", "unknown message type: does not end the session")
async def unknown_type(e: Env) -> str:
    r = await e.raw()
    await r.send("session.frobnicate", {"x": 1})
    await asyncio.sleep(0.3)
    err = [f["payload"].get("code") for f in r.errors()]
    n = len(r.errors())
    await r.send("x-vendor.acme.hello", {"x": 1}, extensions={"optional": True})
    await asyncio.sleep(0.3)
    err2 = [f["payload"].get("code") for f in r.errors()[n:]]
    st = await r.alive()
    check(st == "alive", st)
    return f"core-looking: {err or 'silence'}; vendor+optional: {err2 or 'silence'}; session alive"


@scenario("raw", "unknown top-level envelope fields are ignored")
async def unknown_fields(e: Env) -> str:
    r = await e.raw()
    id_ = await r.send(
        "job.submit", {"agent": "echo", "input": {"v": 1}, "lease_request": {}, "future_field": {"a": 1}},
        future_top="x", priority=3,
    )
    a = await r.until(lambda f: f.get("type") in ("job.accepted", "session.error", "job.error"), "job.accepted")
    check(a["type"] == "job.accepted", f"refused: {short(a['payload'])}")
    st, _, f = await r.terminal(a.get("job_id") or a["payload"]["job_id"])
    check(st == "success" and result_of(f) == {"v": 1}, short(f["payload"]))
    return f"request_id echoed: {a['payload'].get('request_id') == id_}"


@scenario("raw", "vendor extension: extensions object on the envelope, x-vendor lease and event kind")
async def vendor_extension(e: Env) -> str:
    r = await e.raw()
    a = await r.submit(
        "echo", {"v": 1}, extensions={"x-vendor.acme.trace": {"a": 1}, "x-vendor.opentelemetry.tracecontext":
                                      {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}},
    )
    st, _, _ = await r.terminal(a["_job"])
    check(st == "success", st)
    a = await r.submit("leaseprobe", {"capability": "x-vendor.acme.gpu", "target": "h200"},
                       lease_request={"x-vendor.acme.gpu": ["h*"]})
    _, _, f = await r.terminal(a["_job"])
    check(result_of(f)["allowed"] is True, short(f["payload"]))
    kind = "not tested"
    if not e.inventory or "kinds" in e.inventory:
        a = await r.submit("kinds", {}, lease_request={"tool.call": ["*"]})
        await r.terminal(a["_job"])
        ks = [f["payload"]["kind"] for f in r.events(a["_job"]) if f["type"] == "job.event"]
        check("x-vendor.acme.note" in ks, f"vendor kind missing: {ks}")
        kind = "delivered"
    return f"extensions accepted; x-vendor lease enforced; x-vendor.acme.note {kind}"


@scenario("raw", "second session.hello on a session: refused, session lives")
async def hello_twice(e: Env) -> str:
    r = await e.raw()
    await r.send("session.hello", {"client": {"name": "x", "version": "1"}, "auth": {"scheme": "bearer", "token": e.token},
                                   "capabilities": {"encodings": ["json"], "features": []}})
    await asyncio.sleep(0.4)
    err = [f["payload"].get("code") for f in r.errors()]
    st = await r.alive()
    check([f["type"] for f in r.frames].count("session.welcome") == 1, "a second welcome was sent")
    return f"{err or 'silence'}; session {st}"


@scenario("raw", "job.submit before session.hello is not served")
async def submit_before_hello(e: Env) -> str:
    r = await e.raw(hello=False)
    await r.send("job.submit", {"agent": "echo", "input": 1, "lease_request": {}}, session_id="sess_x")
    await asyncio.sleep(0.5)
    check(not [f for f in r.frames if f.get("type") == "job.accepted"], "job accepted without a session")
    return f"{[f['payload'].get('code') for f in r.errors()] or 'silence'}; " + (
        r.close_info if r.closed.is_set() else "connection open"
    )


@scenario("raw", "bad token on the wire: session.error UNAUTHENTICATED, then closed")
async def bad_token_wire(e: Env) -> str:
    r = await e.raw(hello=False)
    r.token = "wrong"
    try:
        await r.hello()
    except Fail as x:
        check("UNAUTHENTICATED" in str(x), str(x))
    else:
        raise Fail("welcomed with a wrong token")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(r.closed.wait(), 1.5)
    return f"{'closed, ' + r.close_info if r.closed.is_set() else 'connection stays open'}"


@scenario("raw", "wrong protocol version: refused")
async def wrong_version(e: Env) -> str:
    r = await e.raw(hello=False)
    await r.text(json.dumps({"arcp": "9.9", "id": str(ULID()), "type": "session.hello", "payload": {
        "client": {"name": "x", "version": "1"}, "auth": {"scheme": "bearer", "token": e.token}, "capabilities": {}}}))
    await asyncio.sleep(0.6)
    check(not [f for f in r.frames if f.get("type") == "session.welcome"], "arcp 9.9 was welcomed")
    return f"{[f['payload'].get('code') for f in r.errors()] or 'silence'}; " + (
        r.close_info if r.closed.is_set() else "connection open"
    )


@scenario("raw", "session.bye (or session.close) ends the session; the job is resumable and goes on")
async def bye_then_resume(e: Env) -> str:
    r = await e.raw()
    a = await r.submit("chatty", {"count": 30, "delay_ms": 100})
    await r.until(lambda f: f.get("type") == "job.event", "job.event")
    last = max(r.seqs())
    how = "session.bye"
    await r.send(how, {"reason": "test"})
    try:
        await asyncio.wait_for(r.closed.wait(), 1.5)
    except TimeoutError:
        refused, how = [f["payload"].get("code") for f in r.errors()], "session.close"
        await r.send(how, {"reason": "test"})
        try:
            await asyncio.wait_for(r.closed.wait(), 3)
        except TimeoutError:
            raise Fail(f"neither session.bye ({refused or 'silence'}) nor session.close closed the connection") from None
    last = max(r.seqs())
    if any(f["type"] in ("job.result", "job.error") for f in r.events(a["_job"])):
        return f"{how} works; the job had ended before"
    r2 = await e.raw(
        resume={"session_id": r.session_id, "resume_token": r.welcome["payload"]["resume_token"], "last_event_seq": last}
    )
    st, _, _ = await r2.terminal(a["_job"], 5)
    check(st == "success", st)
    s = r2.seqs()
    check(s == list(range(last + 1, last + 1 + len(s))), f"gap after {last}: {short(s)}")
    return f"{how}; events {s[0]}..{s[-1]} after the resume"


@scenario("raw", "session.ack is accepted, also for a seq in the future or the past")
async def ack_wire(e: Env) -> str:
    r = await e.raw()
    a = await r.submit("chatty", {"count": 5})
    await r.terminal(a["_job"])
    for s in (3, 3, 1, 999999):
        await r.send("session.ack", {"last_processed_seq": s})
    await r.send("session.ack", {"last_processed_seq": -1})
    await asyncio.sleep(0.3)
    st = await r.alive()
    check(st == "alive", st)
    return f"errors {[f['payload'].get('code') for f in r.errors()]}"


# ------------------------------------------------------------------------------------------- runner

KNOWN: dict[str, dict[str, str]] = {
    "none": {},
    "python": {
        "result_chunk_default_limit": "client: 1 MiB frame limit of WebSocketTransport.connect against a 1 MiB chunk cap",
        "list_jobs": "filter.agent is compared with the resolved name@version only",
        "subscribe_history": "client: events that arrive before subscribe() returns are dropped; the runtime replays first",
        "error_isolation": "client: any session.error fails every open handle",
        "resume_live": "a job stays bound to its first connection's SessionContext: after a drop its events are neither "
                       "logged nor sent, also not after a resume",
        "resume_after_end": "as resume_live",
        "bye_then_resume": "as resume_live",
    },
    "typescript": {
        "resume_live": "a send on a dropped connection throws into the agent: the job dies, nothing is buffered",
        "resume_after_end": "as resume_live",
        "resume_caught_up": "assertFullReplay: a cursor equal to the last seq is taken for a truncated replay",
        "bye_then_resume": "as resume_live",
        "close_keeps_job": "as resume_live (closed session: ctx.send throws)",
        "delegate": "'search.web' is not recognised as a subset of 'search.*' (only whole-segment wildcards)",
    },
    "go": {
        "wrong_version": "the arcp field of an envelope is not checked",
        "bye_then_resume": "session.close discards the resume record",
    },
}


async def run_one(e: Env, name: str) -> tuple[str, str, float]:
    group, title, fn = SCENARIOS[name]
    e.scenario, e.cleanup = name, []
    t0 = time.monotonic()
    try:
        note = await asyncio.wait_for(fn(e), e.timeout)
        res = ("PASS", note or "")
    except Skip as x:
        res = ("SKIP", str(x))
    except Fail as x:
        res = ("FAIL", str(x))
    except asyncio.TimeoutError as x:
        res = ("FAIL", f"scenario exceeded {e.timeout:.0f}s" if not isinstance(x, ARCPError) else explain(x))
    except ConnectionClosed as x:
        res = ("FAIL", f"connection closed: {x}")
    except Exception as x:  # noqa: BLE001
        res = ("FAIL", explain(x))
    dt = time.monotonic() - t0
    for fn_ in reversed(e.cleanup):
        with contextlib.suppress(BaseException):
            await asyncio.wait_for(fn_(), 2)
    return (*res, dt)


async def main() -> int:
    ap = argparse.ArgumentParser(description="Drive a foreign ARCP v1.1 runtime with the Python SDK client.")
    ap.add_argument("--url")
    ap.add_argument("--token", default="secret")
    ap.add_argument("--group", help="comma list of sdk,raw")
    ap.add_argument("--only", help="comma list of scenario names")
    ap.add_argument("--skip", default="", help="comma list of scenario names")
    ap.add_argument("--known", default="none", choices=["none", "python", "typescript", "go"])
    ap.add_argument("--timeout", type=float, default=20, help="seconds per scenario")
    ap.add_argument("--json", help="write the results to this file")
    ap.add_argument("--per-scenario-path", action="store_true",
                    help="append /<scenario> to the URL (for a recording proxy: one file per scenario)")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    if a.list:
        for n, (g, t, _) in SCENARIOS.items():
            print(f"{g:5} {n:28} {t}")
        return 0
    if not a.url:
        ap.error("--url is required")
    from importlib.metadata import version

    print(f"# {a.url}  Python SDK {version('agentruntimecontrolprotocol')}  protocol {arcp.PROTOCOL_VERSION}")
    names = [
        n for n, (g, _, _) in SCENARIOS.items()
        if (not a.group or g in a.group.split(",")) and (not a.only or n in a.only.split(","))
        and n not in a.skip.split(",")
    ]
    e, rows, known = Env(a), [], KNOWN.get(a.known, {})
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the SDK leaves futures unretrieved
    e.scenario = "inventory"  # decides about the optional agents; read with the raw client, so in any dialect
    try:
        r = await e.raw()
        for x in r.welcome["payload"].get("capabilities", {}).get("agents", []):
            e.inventory[x if isinstance(x, str) else x["name"]] = x
    except Exception as x:  # noqa: BLE001
        print(f"# no session.welcome to a plain session.hello: {explain(x)}", flush=True)
        if isinstance(x, OSError):
            return 2
    for fn_ in e.cleanup:
        with contextlib.suppress(BaseException):
            await fn_()
    for n in names:
        st, note, dt = await run_one(e, n)
        if n in known:
            st = {"FAIL": "XFAIL", "PASS": "XPASS"}.get(st, st)
            note = f"{note}   [known: {known[n]}]"
        note = " ".join(note.split())
        print(f"{st:5} {SCENARIOS[n][0] + '/' + n:34} {dt:5.2f}s  {note}", flush=True)
        rows.append({"scenario": n, "group": SCENARIOS[n][0], "status": st, "seconds": round(dt, 2), "note": note,
                     "title": SCENARIOS[n][1]})
    tot = {s: sum(r["status"] == s for r in rows) for s in ("PASS", "FAIL", "SKIP", "XFAIL", "XPASS")}
    print("# " + "  ".join(f"{k} {v}" for k, v in tot.items()))
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"url": a.url, "totals": tot, "results": rows}, f, indent=1, ensure_ascii=False)
    return 1 if tot["FAIL"] else 0




if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
