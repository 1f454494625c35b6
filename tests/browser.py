#!/usr/bin/env python3
"""A browser speaks to a runtime: from an allowed origin it is served, from another it is refused.

    python3 tests/browser.py ARCP [--browser PROGRAM]

Needs Chromium. Exits with 77 if there is none, which is neither a pass nor a failure. All traffic is on
loopback; the pages are served by this program, which is told by each page how it went.
"""
from __future__ import annotations

import argparse
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "browser-token"
PATIENCE = 60

PAGE = """<!doctype html><title>arcp</title><script>
const said = (words) => fetch("/said?" + encodeURIComponent(words));
const socket = new WebSocket("%s", ["arcp.v1.1"]);
let open = false;
const send = (type, payload) =>
  socket.send(JSON.stringify({ arcp: "1.1", id: "msg_" + type, type, payload }));
socket.onopen = () => {
  open = true;
  send("session.hello", {
    client: { name: "page", version: "1.0.0" },
    auth: { scheme: "bearer", token: "%s" },
    capabilities: { encodings: ["json"], features: [] },
  });
};
socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.type === "session.welcome") send("job.submit", { agent: "echo", input: { from: "a page" } });
  if (frame.type === "job.result") said("result " + JSON.stringify(frame.payload.result));
  if (frame.type.endsWith(".error")) said("error " + data);
};
socket.onclose = (event) => { if (!open) said("refused " + event.code); };
</script>"""


class Site:
    """A web site on a free port, with the page on it."""

    def __init__(self) -> None:
        self.page = b""
        self.said: queue.Queue[str] = queue.Queue()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802, the base class's name
                url = urllib.parse.urlparse(self.path)
                if url.path == "/said":
                    site.said.put(urllib.parse.unquote(url.query))
                body = site.page if url.path == "/" else b""
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"


def visit(browser: str, site: Site) -> str:
    """What the page says of its visit."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}"]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen([*command, f"{site.origin}/"], stdout=log, stderr=log)
            try:
                return site.said.get(timeout=PATIENCE)
            except queue.Empty:
                log.seek(0)
                raise SystemExit(f"the page said nothing:\n{log.read().decode(errors='replace')}") from None
            finally:
                process.kill()
                process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("arcp")
    parser.add_argument("--browser", help="the browser; Chromium, if it is on the path")
    args = parser.parse_args()
    browser = args.browser or shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("there is no Chromium here")
        sys.exit(77)
    allowed, other = Site(), Site()
    serve = [args.arcp, "serve", "--port", "0", "--store", "memory", "--token", f"{TOKEN}=alice"]
    serve += ["--allow-origin", allowed.origin]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as runtime:
        try:
            assert runtime.stdout is not None
            url = runtime.stdout.readline().removeprefix("listening on ").strip()
            for site in (allowed, other):
                site.page = (PAGE % (url, TOKEN)).encode()
            served, refused = visit(browser, allowed), visit(browser, other)
        finally:
            runtime.kill()
    print(f"from an allowed origin: {served}\nfrom another: {refused}")
    if served != 'result {"from":"a page"}' or refused != "refused 1006":
        raise SystemExit("that is not as it should be")


if __name__ == "__main__":
    main()
