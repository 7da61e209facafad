"""Feeds fetched over HTTP: from a real server on the loopback, well-behaved and hostile."""

import contextlib
import gzip
import http.server
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scoring import fetch as fetching
from scoring import inputs
from scoring.articles import Article
from scoring.errors import InputError
from scoring.feeds import read_articles
from scoring.fetch import fetch

FEED = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>Wire</title>
<item><title>Quito recalls envoy</title><description>Quito protested.</description></item>
</channel></rss>"""
MOST = 1_000_000

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Server(http.server.ThreadingHTTPServer):
    """A server with one answer for each path, and an event that ends slow ones."""

    answers: dict[str, Answer]
    asked: list[str]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked, self.over = {}, [], threading.Event()

    def url(self, path: str = "/feed") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def at(self, path: str = "/feed") -> Callable[[Answer], Answer]:
        def put(answer: Answer) -> Answer:
            self.answers[path] = answer
            return answer

        return put

    def send(self, body: bytes, path: str = "/feed", status: int = 200, **headers: str) -> str:
        """Answer with a body, and give the URL of it."""

        @self.at(path)
        def whole(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            with contextlib.suppress(OSError):  # the client may hang up
                request.wfile.write(body)

        return self.url(path)

    def redirect(self, path: str, to: str) -> str:
        return self.send(b"moved", path, 302, Location=to)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.answers[self.path](self)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


def read(url: str, input_format: str = "auto") -> tuple[list[Article], list[InputError]]:
    problems: list[InputError] = []
    return list(read_articles([url], input_format, problems.append)), problems


def refusal(url: str, most: int = MOST) -> str:
    with pytest.raises(InputError) as caught:
        fetch(url, most)
    assert caught.value.where == url
    return str(caught.value)


def test_a_feed_is_fetched_and_read(server: Server) -> None:
    articles, problems = read(server.send(FEED))
    assert problems == []
    assert [(article.title, article.text) for article in articles] == [
        ("Quito recalls envoy", "Quito protested.")
    ]
    assert articles[0].publisher == "Wire"


def test_gzip_is_undone(server: Server) -> None:
    articles, problems = read(server.send(gzip.compress(FEED), Content_Encoding="gzip"))
    assert (len(articles), problems) == (1, [])


def test_json_feed_by_its_content(server: Server) -> None:
    url = server.send(
        b'{"items": [{"id": "1", "content_html": "<p>Lima warned.</p>"}]}', "/feed?x=1"
    )
    assert [article.text for article in read(url)[0]] == ["Lima warned."]


def test_without_content_length(server: Server) -> None:
    @server.at()
    def bare(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + FEED)

    assert fetch(server.url(), MOST) == FEED


def test_redirects_are_followed(server: Server) -> None:
    server.send(FEED, "/new")
    server.redirect("/old", "/new")
    assert fetch(server.redirect("/older", server.url("/old")), MOST) == FEED
    assert server.asked == ["/older", "/old", "/new"]


def test_redirect_loop(server: Server) -> None:
    server.redirect("/b", "/a")
    message = refusal(server.redirect("/a", "/b"))
    assert "HTTP status 302" in message
    assert "\n" not in message
    assert len(server.asked) <= 3


def test_too_many_redirects(server: Server) -> None:
    for number in range(20):
        server.redirect(f"/{number}", f"/{number + 1}")
    assert "302" in refusal(server.url("/0"))
    assert len(server.asked) == fetching.MOST_REDIRECTS + 1


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher"])
def test_redirects_lead_to_http_only(server: Server, tmp_path: Path, scheme: str) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_bytes(FEED)
    message = refusal(server.redirect("/feed", f"{scheme}://{secret}"))
    assert f"{scheme}:" in message
    assert server.asked == ["/feed"]


def test_the_body_of_a_redirect_is_not_read(server: Server) -> None:
    server.send(FEED, "/new")

    @server.at()
    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 302 Found\r\nLocation: /new\r\n\r\n")
        with contextlib.suppress(OSError):
            while not server.over.is_set():
                request.wfile.write(b"x" * 65536)

    assert fetch(server.url(), MOST) == FEED


@pytest.mark.parametrize(("status", "name"), [(404, "Not Found"), (500, "Internal"), (403, "Forb")])
def test_status(server: Server, status: int, name: str) -> None:
    message = refusal(server.send(b"<html>sorry</html>", status=status))
    assert f"found HTTP status {status} ({name}" in message


def test_refused_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "refused" in refusal(f"http://127.0.0.1:{port}/feed")


@pytest.mark.parametrize(
    "url",
    ["http://", "http://127.0.0.1:port/", "http://[::1/", "http://127.0.0.1/a b", "http://\x00/"],
)
def test_what_is_no_address(url: str) -> None:
    assert "expected a feed, found" in refusal(url)


def drip(server: Server, head: bytes) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(head)
        with contextlib.suppress(OSError):
            while not server.over.wait(0.02):
                request.wfile.write(b"x")

    return answer


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.0 200 OK\r\n\r\n<rss>", b"HTTP/1.0 200 OK\r\nX-Slow: ", b"HTTP"],
    ids=["body", "header", "status"],
)
def test_a_slow_drip_ends(server: Server, monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(fetching, "SECONDS_IN_ALL", 0.3)
    server.at()(drip(server, head))
    start = time.monotonic()
    assert "within 0.3 s" in refusal(server.url())
    assert time.monotonic() - start < 3
    server.over.set()


def test_a_silent_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS_IDLE", 0.2)
    server.at()(lambda request: server.over.wait(10) and None)
    start = time.monotonic()
    assert "timed out" in refusal(server.url())
    assert time.monotonic() - start < 3


def test_oversize(server: Server) -> None:
    message = refusal(server.send(b"x" * (MOST + 1)))
    assert "expected at most 1,000,000 bytes, found more" in message
    assert fetch(server.send(b"x" * MOST), MOST) == b"x" * MOST


def test_content_length_ends_the_body(server: Server) -> None:
    @server.at()
    def kept_open(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(FEED) + FEED)
        server.over.wait(10)

    start = time.monotonic()
    assert fetch(server.url(), MOST) == FEED
    assert time.monotonic() - start < 3


def test_endless_body(server: Server) -> None:
    @server.at()
    def endless(request: http.server.BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                request.wfile.write(b"x" * 65536)

    assert "found more" in refusal(server.url())


def test_a_gzip_bomb_over_http(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MOST_DOCUMENT", 2_000_000)
    url = server.send(gzip.compress(b"a" * 50_000_000), "/feed.jsonl")
    tracemalloc.start()
    articles, problems = read(url)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert articles == []
    assert "found a gzip bomb" in str(problems[-1])
    assert peak < 40_000_000  # a line of 10 MB, and its buffers


def test_a_page_is_no_feed_unless_asked_for(server: Server) -> None:
    url = server.send(b"<!DOCTYPE html><html><title>Log in</title><p>Please log in.</p></html>")
    articles, [problem] = read(url)
    assert articles == []
    assert "expected a feed, found an HTML page" in str(problem)
    assert [article.text for article in read(url, "html")[0]] == ["Please log in."]


def test_an_empty_answer_and_the_next_input(server: Server) -> None:
    problems: list[InputError] = []
    urls = [server.send(b"", "/empty"), server.send(b"", "/gone", 410), server.send(FEED)]
    assert len(list(read_articles(urls, on_problem=problems.append))) == 1
    assert [problem.where for problem in problems] == urls[:2]
    assert "found an empty input" in str(problems[0])
