"""A feed's URL -> its bytes, within limits of time, size and redirects."""

from __future__ import annotations

import http.client
import queue
import threading
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from typing import IO, Any, Final
from urllib.parse import urlsplit

from scoring.errors import InputError

SECONDS_IDLE: Final = 10.0
"""Longest wait for a connection or for the next bytes."""

SECONDS_IN_ALL: Final = 30.0
"""Longest time that one feed may take, from the look-up of its host's name to its last byte."""

MOST_REDIRECTS: Final = 5

_ACCEPT: Final = (
    "application/rss+xml, application/atom+xml, application/feed+json, application/xml, */*;q=0.5"
)


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MOST_REDIRECTS
    max_repeats = 1

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Follow to http and https only: a feed must not lead to a file of this machine."""
        fp.close()  # else the base class would read this answer's body to its end, if it has one
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.URLError(f"a redirect to {newurl!r}, neither http nor https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, most_bytes: int) -> bytes:
    """Fetch one feed.

    Parameters
    ----------
    url : str
        http or https.
    most_bytes : int
        Refused beyond this size on the wire.

    Returns
    -------
    bytes
        The body as sent, which may be gzip.

    Raises
    ------
    InputError
        If there is no answer in time, a status that is not success, too many redirects, or too
        much to read.
    """
    # A socket's time-out starts anew with every byte, and looking up a name has none at all. So
    # the work is done in a thread, which is left behind once all the time is spent.
    answer: queue.SimpleQueue[bytes | InputError] = queue.SimpleQueue()
    work = threading.Thread(
        target=lambda: answer.put(_outcome(url, most_bytes)), name=f"fetch {url}", daemon=True
    )
    work.start()
    try:
        found = answer.get(timeout=SECONDS_IN_ALL)
    except queue.Empty:
        raise _too_slow(url) from None
    if isinstance(found, InputError):
        raise found
    return found


def _outcome(url: str, most_bytes: int) -> bytes | InputError:
    until = time.monotonic() + SECONDS_IN_ALL
    try:
        request = urllib.request.Request(  # noqa: S310 - the opener knows http and https only
            url,
            headers={
                "User-Agent": f"tension-escalation/{version('tension-escalation')}",
                "Accept": _ACCEPT,
                "Accept-Encoding": "gzip",
            },
        )
        with _opener().open(request, timeout=SECONDS_IDLE) as response:
            return _read(url, response, most_bytes, until)
    except InputError as error:
        return error
    except urllib.error.HTTPError as error:
        error.close()
        reason = " ".join(str(error.reason).split())
        problem = f"expected a feed, found HTTP status {error.code} ({reason})."
        return InputError(url, problem, "Check the address.")
    except Exception as error:  # whatever it is, it belongs to this URL, and the next input waits
        cause = getattr(error, "reason", None) or str(error) or type(error).__name__
        return InputError(
            url, f"expected a feed, found {cause}.", "Check the address and the network."
        )


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _read(url: str, response: http.client.HTTPResponse, most_bytes: int, until: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read(1 << 16):  # read1 of Python 3.11 forgets Content-Length
        chunks.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            raise InputError(
                url, f"expected at most {most_bytes:,} bytes, found more.", "It was not read."
            )
        if time.monotonic() > until:  # nobody waits for this thread any more
            raise _too_slow(url)
    return b"".join(chunks)


def _too_slow(url: str) -> InputError:
    return InputError(
        url, f"expected the feed within {SECONDS_IN_ALL:g} s, found it slower.", "Try later."
    )
