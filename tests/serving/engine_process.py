"""A small process that speaks HTTP as an engine does, for tests of its life: run as `engine_process.py ARGUMENTS --port N`.

It has a worker, as vLLM has. `POST /crash` ends it at once and leaves the worker. While the file `broken` lies in the folder
of `$KEFU_TEST_ENGINE` it dies at start; `slow` there lets it take half a second.
"""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        if self.path == "/crash":
            os._exit(7)
        asked: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": "Hello."}
        choice = {"index": 0, "text": "!", "message": message, "finish_reason": "stop", "asked": asked["model"]}
        body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


if __name__ == "__main__":
    folder = Path(os.environ["KEFU_TEST_ENGINE"])
    if (folder / "broken").exists():
        print("no memory", flush=True)
        sys.exit(5)
    if (folder / "slow").exists():
        time.sleep(0.5)
    worker = subprocess.Popen(["sleep", "600"])
    print(f"started {os.getpid()} with worker {worker.pid}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
