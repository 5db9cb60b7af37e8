"""Peers as child processes, robust against crashes and hangs."""

import json
import os
import re
import selectors
import subprocess
import time
from pathlib import Path
from types import TracebackType


class Gone(Exception):
    """A peer that no longer answers, or reports a failure; the message fits a table."""


def plain(text: str, most: int = 160) -> str:
    """The text in one line, without paths and addresses of this machine."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"\S*(?:://|/\w)\S*", "…", text)
    text = re.sub(r"[\s|]+", " ", text).strip()
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"


class Child:
    def __init__(self, command: list[str], env: dict[str, str], log: Path, limit: float) -> None:
        self.limit = limit
        self.log = log.open("ab")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, **env}, bufsize=0
        )
        assert self.process.stdin and self.process.stdout
        self.asked, self.answers = self.process.stdin, self.process.stdout
        self.rest = b""
        self.late = False
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.answers, selectors.EVENT_READ)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """Kills the process: once a peer is not needed, there is nothing to wait for."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.asked.close()
        self.answers.close()
        self.selector.close()
        self.log.close()

    def lost(self) -> bool:
        """Whether it will not answer the next request."""
        return self.late or self.process.poll() is not None

    def line(self) -> dict:
        """The next line that is an answer; libraries may print others."""
        until = time.monotonic() + self.limit
        while True:
            line, end, rest = self.rest.partition(b"\n")
            if end:
                self.rest = rest
                if line.startswith(b"{"):
                    return json.loads(line)
                continue
            if not self.selector.select(max(until - time.monotonic(), 0)):
                self.late = True
                raise Gone(f"no answer within {self.limit:.0f} s")
            read = os.read(self.answers.fileno(), 1 << 16)
            if not read:
                code = self.process.wait()
                raise Gone(f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}: {self.last_words()}")
            self.rest += read

    def last_words(self) -> str:
        self.log.flush()
        lines = [line for line in Path(self.log.name).read_text(errors="replace").splitlines() if line.strip()]
        return plain(lines[-1]) if lines else "nothing said"

    def ask(self, do: str, **what: object) -> dict:
        try:
            self.asked.write((json.dumps({"do": do, **what}) + "\n").encode())
        except BrokenPipeError:
            pass
        answered = self.line()
        if "error" in answered:
            raise Gone(plain(answered["error"]))
        return answered
