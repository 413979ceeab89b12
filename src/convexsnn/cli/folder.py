"""The files of a model's folder."""

from __future__ import annotations

from pathlib import Path

MODEL, CERTIFICATE, METRICS, PATH = "model.safetensors", "certificate.json", "metrics.json", "path.json"
HISTORY, CHECKPOINT = "history.json", "search.safetensors"


def model_file(path: Path) -> Path:
    """The model file of a folder, or the file itself."""
    return path / MODEL if path.is_dir() else path
