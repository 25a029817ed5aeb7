"""Serves a saved agent over HTTP, with nothing but the standard library.

``python examples/serve_agent.py FILE`` answers, in JSON::

    GET  /agent                what the agent is and takes
    POST /recommend            {"user": …, "items": …, "k": …} -> {"items": [ids]}
    POST /observe              {"user": …, "items": …, "responses": …}

``user`` is an id or ``{"id": …, "features": …}``, or a list of them; ``items`` is a list of ids or
``{"ids": […], "features": …}``. When it is stopped, what it knows of users is saved to the file.
Without a FILE it saves an agent, starts, asks itself a few times, and stops.
"""

from __future__ import annotations

import argparse
import http.server
import json
import pathlib
import tempfile
import threading
import time
import urllib.request

import recsim

LARGEST_BODY = 10_000_000


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests with the server's agent."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path == "/agent":
            self.answer(200, self.server.agent.describe())
        else:
            self.answer(404, {"error": f"there is no {self.path}"})

    def do_POST(self) -> None:
        agent = self.server.agent
        try:
            length = int(self.headers.get("Content-Length", 0))
            if not 0 < length <= LARGEST_BODY:
                raise ValueError(f"a body must have 1 to {LARGEST_BODY} bytes, got {length}")
            body = json.loads(self.rfile.read(length))
            if not isinstance(body, dict):
                raise TypeError("a body must be a JSON object")
            if self.path == "/recommend":
                slate = agent.recommend(body.get("user"), body.get("items"), body.get("k"))
                self.answer(200, {"items": slate})
            elif self.path == "/observe":
                agent.observe(body.get("user"), body.get("items"), body.get("responses"))
                self.answer(200, {})
            else:
                self.answer(404, {"error": f"there is no {self.path}"})
        except recsim.serving.UnknownUserError as error:
            self.answer(404, {"error": str(error)})
        except (TypeError, ValueError) as error:
            self.answer(400, {"error": str(error)})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server of one agent, with a thread for each connection."""

    daemon_threads = True

    def __init__(self, agent: recsim.serving.ServedAgent, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.agent = agent


def save_an_agent(path: pathlib.Path) -> None:
    """Saves a bandit that explores which topics a user likes."""
    from recsim import registry

    config = {"num_candidates": 10, "slate_size": 2, "resample_documents": True, "seed": 0}
    environment = registry.create_environment("interest_exploration", config)
    registry.create_agent("cluster_bandit_ucb1", environment).save(path)


def ask(server: Server, path: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.server_port}{path}", data=json.dumps(body).encode()
    )
    with urllib.request.urlopen(request) as response:
        answer: dict[str, object] = json.load(response)
        return answer


def try_out(server: Server) -> None:
    """Plays a user who clicks whatever is of topic 1."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    topics = {f"item {number}": number % 2 for number in range(10)}
    items = {
        "ids": list(topics),
        "features": {"cluster_id": list(topics.values()), "quality": [1.0] * len(topics)},
    }
    start = time.perf_counter()
    for _ in range(20):
        slate: list[str] = ask(server, "/recommend", {"user": "ann", "items": items})["items"]  # type: ignore[assignment]
        clicks = [topics[item] for item in slate]
        ask(server, "/observe", {"user": "ann", "items": slate, "responses": {"click": clicks}})
    milliseconds = 1000 * (time.perf_counter() - start) / 40
    print(f"the last slate: {slate}, of topics {[topics[item] for item in slate]}")
    print(f"{milliseconds:.1f} ms per request")
    server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=pathlib.Path, help="a saved agent")
    parser.add_argument("--port", type=int, default=8000, help="(default: %(default)s)")
    args = parser.parse_args()
    file = args.file
    if file is None:
        file = pathlib.Path(tempfile.mkdtemp()) / "agent.recsim"
        save_an_agent(file)
    server = Server(recsim.load_agent(file), args.port if args.file else 0)
    try:
        if args.file is None:
            try_out(server)
        else:
            print(f"{server.agent} at http://127.0.0.1:{server.server_port}")
            server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        server.agent.save(file)
    print(f"{len(server.agent.user_ids)} user(s) saved to {file.name}")


if __name__ == "__main__":
    main()
