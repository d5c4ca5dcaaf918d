"""Merge patches over HTTP: the media types that PATCH reads, offered where RFC 5789 asks for it."""

from flask import Response, request

from api.inputs import JSON, MERGE_PATCH

MEDIA_TYPES = (MERGE_PATCH, JSON)


def offer(response: Response) -> Response:
    """Name the media types in answer to OPTIONS, and to a patch of another type (§2.2, §3.1)."""
    if "PATCH" in response.allow or (request.method == "PATCH" and response.status_code == 415):
        response.headers["Accept-Patch"] = ", ".join(MEDIA_TYPES)
    return response
