"""The report as a page."""

from __future__ import annotations

from typing import Any


def page(figures: dict[str, Any]) -> str:
    """The page of a report, complete in itself."""
    return f"<!doctype html><title>Audit</title><pre>{figures['rows']}</pre>"
