#!/usr/bin/env python3
"""Load test of `diffews-wgpu serve` with many clients: checks for lost answers, memory growth and starving clients.

    tools/serve/load.py [--program target/release/diffews-wgpu] [--seconds 120] [--clients 64]

Starts a server with one bank. Besides the normal clients there are slow ones, which send a byte per second, and ones that leave before
their answer. Uses only Python's standard library. Exits with 1 if a promise is broken:

- every request is answered with 200 and the objects, or with 503 and `Retry-After`;
- after the first quarter, memory grows by at most a tenth;
- if there are places for all, every client gets answers, whatever the slow ones do.
"""

import argparse
import base64
import collections
import http.client
import json
import pathlib
import socket
import sys
import threading
import time

from started import EXAMPLE, PROGRAM, server


class Load:
    def __init__(self, port, seconds):
        self.port = port
        self.end = time.monotonic() + seconds
        picture = base64.b64encode((EXAMPLE / "query.png").read_bytes()).decode()
        self.body = json.dumps({"model": "bug", "image": picture}).encode()
        self.lock = threading.Lock()
        self.answers = collections.Counter()
        self.waits = []
        # Number of answers per client.
        self.served = collections.Counter()

    def client(self, number):
        while time.monotonic() < self.end:
            started = time.monotonic()
            try:
                status, pause = self.ask()
            except Exception as error:  # Any exception means a lost answer.
                status, pause = f"lost: {error!r:.60}", 0.1
            with self.lock:
                self.answers[status] += 1
                if status == 200:
                    self.waits.append(time.monotonic() - started)
                    self.served[number] += 1
            time.sleep(pause)

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", "/v1/predict", self.body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 503:
                return 503, min(2.0, float(answer.headers["Retry-After"]))
            if answer.status == 200 and not json.loads(text)["data"]["shapes"]:
                return "200 without a shape", 0
            return answer.status, 0
        finally:
            connection.close()

    def head(self, length):
        return f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()

    def slow(self, _):
        while time.monotonic() < self.end:
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as stream:
                    stream.sendall(self.head(30_000))
                    while time.monotonic() < self.end:
                        stream.sendall(b" ")
                        time.sleep(1)
            except OSError:
                # It may be turned away, and then tries again.
                time.sleep(0.1)

    def leaver(self, number):
        while time.monotonic() < self.end:
            with socket.create_connection(("127.0.0.1", self.port)) as stream:
                stream.sendall(self.head(len(self.body)) + self.body)
                time.sleep(0.3 + 0.1 * number)
            time.sleep(0.5)


def memory(pid):
    """MiB of a process, where the system reports it."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=PROGRAM, type=pathlib.Path)
    parser.add_argument("--seconds", default=120.0, type=float)
    parser.add_argument("--clients", default=64, type=int)
    parser.add_argument("--queue", type=int, help="the server's queue places [default: enough for all]; with fewer, chance decides who gets one")
    args = parser.parse_args()
    with server(args.program, "--queue", str(args.queue or args.clients + 16)) as (process, address):
        return run(Load(int(address.rsplit(":", 1)[1]), args.seconds), process, args)


def run(load, server, args):
    load.ask()
    kinds = [(load.client, args.clients), (load.slow, 8), (load.leaver, 4)]
    threads = [threading.Thread(target=act, args=(number,)) for act, count in kinds for number in range(count)]
    for thread in threads:
        thread.start()
    early = late = None
    while any(thread.is_alive() for thread in threads):
        time.sleep(args.seconds / 12)
        late = memory(server.pid)
        if early is None and time.monotonic() > load.end - 0.75 * args.seconds:
            early = late
        print(f"{load.end - time.monotonic():6.0f} s left, {late or 0:.0f} MiB, {dict(load.answers)}", flush=True)
    hungry = [number for number in range(args.clients) if not load.served[number]]
    broken = [
        (any(status not in (200, 503) for status in load.answers), "an answer was lost or wrong"),
        (early is not None and late > 1.1 * early, f"memory grew from {early} to {late} MiB"),
        (bool(hungry) and not args.queue, f"{len(hungry)} clients were never served"),
        (server.poll() is not None, "the server ended"),
    ]
    longest = max(load.waits, default=0)
    print(f"{dict(load.answers)}; served: {min(load.served.values(), default=0)} to {max(load.served.values(), default=0)} a client; "
          f"longest {longest:.1f} s; memory {early or 0:.0f} to {late or 0:.0f} MiB")
    for so, what in broken:
        if so:
            print(f"broken: {what}")
    return int(any(so for so, _ in broken))


if __name__ == "__main__":
    sys.exit(main())
