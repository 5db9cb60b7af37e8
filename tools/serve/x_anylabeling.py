#!/usr/bin/env python3
"""Tests `diffews-wgpu serve` with X-AnyLabeling's own client, without its window.

    python -m venv v && v/bin/pip install x-anylabeling-cvhub && v/bin/python tools/serve/x_anylabeling.py
"""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import anylabeling.config
from anylabeling.services.auto_labeling.remote_server import RemoteServer
from anylabeling.views.labeling.widgets.auto_labeling.auto_labeling import AutoLabelingWidget
from PyQt6.QtGui import QImage
from started import EXAMPLE, holds, server


def main():
    messages = []
    with server() as (_, address):
        # Replaces the settings file in the user's home.
        anylabeling.config.current_config_file = f"remote_server_settings: {{server_url: '{address}', api_key: ''}}"
        config = {"type": "remote_server", "name": "remote", "display_name": "Remote"}
        client = RemoteServer(config, messages.append)
        models = client.get_available_models()
        holds(list(models) == ["bug"] and models["bug"]["display_name"] == "lady bug", "the client lists the bank as a model")
        widgets = [widget["name"] for widget in models["bug"]["widgets"]]
        known = AutoLabelingWidget.supported_remote_widgets
        holds("button_run" in widgets and set(widgets) <= set(known), "it knows the model's controls")
        client.set_model_id("bug")
        holds(client.get_batch_processing_mode() == "default", "it can run on a whole folder")
        query = EXAMPLE / "query.png"
        found = client.predict_shapes(QImage(str(query)), str(query))
        holds(found.shapes and all(shape.shape_type == "polygon" for shape in found.shapes), "it gets polygons")
        largest = max(found.shapes, key=lambda shape: len(shape.points))
        holds(largest.label == "lady bug" and largest.score > 0.5, "they have label and score")
        holds(all(0 <= p.x() <= 256 and 0 <= p.y() <= 256 for s in found.shapes for p in s.points), "they lie in the picture")
        holds(found.replace is True, "existing shapes are replaced, as the client's checkbox says")
        client.set_auto_labeling_preserve_existing_annotations_state(True)
        holds(client.predict_shapes(QImage(str(query)), str(query)).replace is False, "or stays")
        fine = len(largest.points)
        client.set_mask_fineness(0.01)
        rough = max(client.predict_shapes(QImage(str(query)), str(query)).shapes, key=lambda shape: len(shape.points))
        holds(len(rough.points) < fine, "its slider makes outlines rougher")
        client.set_auto_labeling_conf(1.0)
        holds(not client.predict_shapes(QImage(str(query)), str(query)).shapes, "no object reaches so high a threshold")
        holds(not messages, f"it has no complaints {messages}")


if __name__ == "__main__":
    main()
