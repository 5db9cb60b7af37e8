#!/usr/bin/env python3
"""Tests `diffews-wgpu serve` with a real Label Studio: annotates one task, and gets a prediction for the other.

    python -m venv v && v/bin/pip install label-studio label-studio-converter && v/bin/python tools/serve/with_label_studio.py

Starts Label Studio in a temporary folder, with a project of two pictures, and connects the server as its machine learning backend.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

from label_studio_sdk.converter import brush
from started import EXAMPLE, PROGRAM, holds, server

TOKEN = "0123456789abcdef" * 2 + "01234567"
CONFIG = """<View><Image name="image" value="$image"/>
<{tag} name="tag" toName="image"><Label value="bug"/><Label value="bee"/></{tag}></View>"""


class Studio:
    def __init__(self, address):
        self.address = address

    def ask(self, method, path, body=None, kind="application/json"):
        data = json.dumps(body).encode() if kind == "application/json" and body is not None else body
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": kind}
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()[:500]}")

    def upload(self, project, picture):
        border = uuid.uuid4().hex
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{picture.name}"\r\nContent-Type: image/png\r\n\r\n'
        body = head.encode() + picture.read_bytes() + f"\r\n--{border}--\r\n".encode()
        self.ask("POST", f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={border}")

    def tasks(self, project):
        found = self.ask("GET", f"/api/tasks?project={project}&fields=all")["tasks"]
        return {pathlib.Path(task["data"]["image"]).name.split("-", 1)[1]: task for task in found}

    def predictions(self, project, task):
        """The predictions after it asked the backend."""
        selected = {"selectedItems": {"all": True, "excluded": []}}
        self.ask("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}", selected)
        return self.ask("GET", f"/api/predictions?task={task['id']}")


@contextlib.contextmanager
def studio():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(sys.executable).with_name("label-studio")
        user = ["--username", "a@b.example", "--password", uuid.uuid4().hex, "--user-token", TOKEN]
        flags = ["start", "--no-browser", "--port", str(port), "--data-dir", folder, *user]
        quiet = {"LATEST_VERSION_CHECK": "false", "COLLECT_ANALYTICS": "false", "USE_DEFAULT_BANNED_SUBNETS": "false", "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true"}
        with open(pathlib.Path(folder, "log"), "w") as log:
            process = subprocess.Popen([program, *flags], env={**os.environ, **quiet}, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(address + "/health", timeout=5)
                    break
                time.sleep(2)
            yield Studio(address)
        finally:
            process.terminate()
            process.wait()


def annotation():
    """The example's mask, encoded by Label Studio's own code."""
    from PIL import Image
    import numpy

    mask = numpy.asarray(Image.open(EXAMPLE / "support_mask.png").convert("L"))
    value = {"format": "rle", "rle": brush.mask2rle(mask), "brushlabels": ["bug"]}
    return {"from_name": "tag", "to_name": "image", "type": "brushlabels", "original_width": 256, "original_height": 256,
            "image_rotation": 0, "id": "made", "value": value}


def main():
    import numpy
    from PIL import Image

    with studio() as label_studio, backend_of(label_studio) as (_, address):
        config = CONFIG.format(tag="BrushLabels")
        project = label_studio.ask("POST", "/api/projects", {"title": "bugs", "label_config": config})["id"]
        for name in ["support.png", "query.png"]:
            label_studio.upload(project, EXAMPLE / name)
        tasks = label_studio.tasks(project)
        example, query = tasks["support.png"], tasks["query.png"]
        backend = label_studio.ask("POST", "/api/ml", {"project": project, "url": address, "title": "diffews", "is_interactive": True})
        holds(backend["state"] == "CO", "Label Studio connects")
        hooks = label_studio.ask("GET", f"/api/webhooks?project={project}")
        holds(any(hook["url"] == address + "/webhook" for hook in hooks), "it makes its webhook")

        made = label_studio.ask("POST", f"/api/tasks/{example['id']}/annotations", {"result": [annotation()]})
        time.sleep(2)
        found = label_studio.predictions(project, query)
        holds(len(found) >= 1 and found[-1]["result"], "an annotation brings a prediction")
        last = found[-1]
        holds(last["model_version"].startswith("diffews-1-") and last["score"] > 0.3, "with the version and a score")
        masks = [numpy.asarray(brush.decode_rle(r["value"]["rle"])).reshape(256, 256, 4)[..., 3] > 127 for r in last["result"]]
        mask = numpy.any(masks, axis=0)
        truth = numpy.asarray(Image.open(EXAMPLE / "query_truth.png").convert("L")) > 127
        iou = (mask & truth).sum() / (mask | truth).sum()
        holds(iou > 0.4, f"Label Studio's own decoder reads its mask, whose IoU is {iou:.2f}")

        box = {"x": 8, "y": 55, "width": 26, "height": 33, "rotation": 0, "brushlabels": ["bee"]}
        context = {"result": [{"type": "rectangle", "from_name": "tag", "to_name": "image", "value": box}]}
        marked = label_studio.ask("POST", f"/api/ml/{backend['id']}/interactive-annotating", {"task": example["id"], "context": context})
        region = marked["data"]["result"][0]
        holds(region["value"]["brushlabels"] == ["bee"], "a smart tool's box becomes a mask with its label")

        label_studio.ask("DELETE", f"/api/annotations/{made['id']}")
        time.sleep(2)
        gone = label_studio.predictions(project, query)
        holds(gone[-1]["model_version"].startswith("diffews-0-") and not gone[-1]["result"], "without annotations nothing is found")

        for hook in label_studio.ask("GET", f"/api/webhooks?project={project}"):
            label_studio.ask("DELETE", f"/api/webhooks/{hook['id']}")
        label_studio.ask("POST", f"/api/tasks/{example['id']}/annotations", {"result": [annotation()]})
        time.sleep(12)
        holds(label_studio.predictions(project, query)[-1]["result"], "without its webhook annotations are read")
        # A new server has no data yet, and reads it.
        with backend_of(label_studio) as (_, other):
            label_studio.ask("PATCH", f"/api/ml/{backend['id']}", {"url": other, "project": project})
            again = label_studio.predictions(project, query)
            holds(again[-1]["result"], "a restarted server reads the annotations")


def backend_of(label_studio):
    return server(PROGRAM, "--label-studio", label_studio.address)


if __name__ == "__main__":
    main()
