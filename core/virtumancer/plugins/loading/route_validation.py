"""Checks the routes of a plugin: paths that stay below its own place and do not get into each other's way."""

import re
from collections.abc import Iterable
from typing import Any, get_args

from msgspec import Struct

from virtumancer.contracts import Route, StaticFiles
from virtumancer.plugins.loading.action_validation import check_arguments, check_right
from virtumancer.plugins.loading.refusal import PluginRefused

__all__ = ["check_content", "check_routes", "shown"]

SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*|\{[a-z][a-z0-9_]*\}")
JSON = "application/json"
MEDIA = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+(; charset=utf-8)?")
METHODS: tuple[str, ...] = get_args(Route.__annotations__["method"])


def shown(route: Route | StaticFiles) -> str:
    """Name a route as lists of plugins do."""
    return f"{route.method} {route.path}" if isinstance(route, Route) else f"GET {route.path}/…"


def check_routes(routes: Iterable[Route | StaticFiles]) -> None:
    """Refuse the first that could not be mounted, or was before."""
    taken: set[tuple[str, str]] = set()
    folders: list[str] = []
    for route in routes:
        _check_path(route)
        place = re.sub(r"\{\w+\}", "{}", route.path)
        if isinstance(route, Route):
            check_content(route, f"the route {shown(route)}")
            keys = {(str(route.method), place)}
        else:
            check_content(route, f"the static files at {route.path}")
            keys = {(method, place) for method in METHODS}
            folders.append(place)
        if keys & taken:
            raise PluginRefused("register", f"the route {shown(route)} is there twice")
        taken |= keys
    for _, place in taken:
        for folder in folders:
            if place.startswith(f"{folder}/"):
                raise PluginRefused("register", f"the route {place} lies within the static files at {folder}")


def check_content(content: Route | StaticFiles, what: str) -> None:
    """Refuse a route that could not be called, or a folder that could not be shown; `what` names it."""
    if isinstance(content, Route):
        _check_route(content, what)
    else:
        _check_folder(content, what)


def _check_path(route: Route | StaticFiles) -> None:
    segments = route.path.split("/")
    names = [segment for segment in segments if segment.startswith("{")]
    if not all(SEGMENT.fullmatch(segment) for segment in segments) or len(set(names)) < len(names):
        raise PluginRefused(
            "register",
            f"the path {route.path!r} of a route is not usable: segments of letters, digits and _ . - with single "
            "slashes between them, or names in braces as in disks/{disk}",
        )
    if isinstance(route, StaticFiles) and names:
        raise PluginRefused("register", f"the path {route.path!r} of static files cannot have names in braces")


def _check_route(route: Route, what: str) -> None:
    handle: Any = route.handle
    body: Any = route.body
    timeout: Any = route.timeout
    if route.method not in METHODS:
        raise PluginRefused("register", f"{what} has another method than {', '.join(METHODS)}")
    if not callable(handle):
        raise PluginRefused("register", f"{what}: handle = {handle!r} cannot be called")
    check_arguments(what, "handle", handle, ("request",))
    check_right(what, route.permission)
    if body is not None and not (isinstance(body, type) and issubclass(body, Struct)):
        raise PluginRefused("register", f"{what}: body = {body!r} is no msgspec Struct")
    media: Any = route.media
    if not isinstance(media, str) or not MEDIA.fullmatch(media) or (media != JSON) is not (route.answer is bytes):
        reason = "a media type goes with answer=bytes, and such an answer needs one, as media='text/csv'"
        raise PluginRefused("register", f"{what}: media = {media!r}: {reason}")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise PluginRefused("register", f"{what}: timeout = {timeout!r} is no number of seconds above 0")


def _check_folder(files: StaticFiles, what: str) -> None:
    if not files.directory.is_dir():
        raise PluginRefused("register", f"there is no folder {files.directory} for {what}")
    if files.fallback and not (files.directory / files.fallback).is_file():
        raise PluginRefused("register", f"{what}: there is no file {files.fallback!r} to fall back on in its folder")
