"""Requests through the lab's virtual address, each on a connection of its own, until standard input ends.

Half of the clients come back with the cookie of api_1, as those that it has served. Prints one JSON object: how many answers
there were of each kind ("200 api_1", "ConnectionResetError"), and how many of them since the last line of input.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import Counter

ADDRESS, PORT, THREADS = "127.101.0.10", 8080, 4
counts: Counter[str] = Counter()
since: Counter[str] = Counter()
guard = threading.Lock()
ended = threading.Event()


def ask(cookie: str) -> str:
    connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=8)
    try:
        connection.request("GET", "/version", headers={"Cookie": cookie, "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
        return (
            f"{answer.status} {json.loads(body)['instance']}" if answer.status == 200 else str(answer.status)
        )
    except (OSError, http.client.HTTPException, ValueError) as error:
        return type(error).__name__
    finally:
        connection.close()


def keep_asking(cookie: str) -> None:
    while not ended.is_set():
        outcome = ask(cookie)
        with guard:
            counts[outcome] += 1
            since[outcome] += 1
        time.sleep(0.01)


def tell() -> None:
    sys.stdout.write(json.dumps({"counts": counts, "since": since}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Ask until standard input ends; a line of it begins a new count."""
    cookies = ["SAMACONSOSERVERID=api_1", ""] * (THREADS // 2)
    threads = [threading.Thread(target=keep_asking, args=(cookie,)) for cookie in cookies]
    for thread in threads:
        thread.start()
    for _line in sys.stdin:
        with guard:
            tell()
            since.clear()
    ended.set()
    for thread in threads:
        thread.join()
    tell()


if __name__ == "__main__":
    main()
