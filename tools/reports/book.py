"""A preprocessor of mdBook (book.toml): links that lead out of docs/, or to a folder, become the name of the file.

The pages are also read on the repository's host, where these links work; a book has only its own pages.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def named(page):
    """The page's text with `text (path)` in place of such links."""

    def replace(link):
        text, target = link.group(1), link.group(2).split("#")[0]
        path = (DOCS / page["path"]).parent / target
        if not target or "://" in target or (path.resolve().is_relative_to(DOCS) and path.is_file()):
            return link.group(0)
        name = path.resolve().relative_to(ROOT).as_posix()
        return text if text.strip("`") == name else f"{text} (`{name}`)"

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", replace, page["content"])


def walk(part):
    if isinstance(part, list):
        for each in part:
            walk(each)
    elif isinstance(part, dict):
        if part.get("path") and "content" in part:
            part["content"] = named(part)
        for each in part.values():
            walk(each)


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    _, book = json.load(sys.stdin)
    walk(book)
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
