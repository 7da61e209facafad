"""A feed's URL -> its bytes, within limits of time, size and redirects."""

from __future__ import annotations

import http.client
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
"""Longest time that one feed may take."""

MOST_REDIRECTS: Final = 5


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MOST_REDIRECTS
    max_repeats = 1

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Follow to http and https only: a feed must not lead to a file of this machine."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.URLError(f"a redirect to {newurl!r}, which is neither http nor https")
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
        If there is no answer in time, a status other than 200, too many redirects, or too much to read.
    """
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
    request = urllib.request.Request(  # noqa: S310 - the opener knows http and https only
        url,
        headers={
            "User-Agent": f"tension-escalation/{version('tension-escalation')}",
            "Accept": "application/rss+xml, application/atom+xml, application/feed+json, application/xml, */*;q=0.5",
            "Accept-Encoding": "gzip",
        },
    )
    until = time.monotonic() + SECONDS_IN_ALL
    try:
        with opener.open(request, timeout=SECONDS_IDLE) as response:
            return _read(url, response, most_bytes, until)
    except urllib.error.HTTPError as error:
        with error:
            problem = f"expected a feed, found HTTP status {error.code} ({error.reason})."
        raise InputError(url, problem, "Check the address.") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            url, f"expected a feed, found {reason}.", "Check the address and the network."
        ) from None


def _read(url: str, response: Any, most_bytes: int, until: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := response.read1(1 << 16):
        chunks.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            raise InputError(
                url, f"expected at most {most_bytes:,} bytes, found more.", "It was not read."
            )
        if time.monotonic() > until:
            raise InputError(
                url, f"expected the feed within {SECONDS_IN_ALL:.0f} s, found it slower.", "Try later."
            )
    return b"".join(chunks)
