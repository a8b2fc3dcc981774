"""Files that a download left in another's place: a Git LFS pointer, or the web page that shows the file."""

import re

from visionport.errors import VisionportError

PAGE = re.compile(
    rb"\s*(<!--((?!-->).)*-->\s*)*(<!doctype\s+html|<html|<head|<\?xml[^>]*>\s*<!doctype\s+html)", re.I | re.S
)


def is_lfs_pointer(data: bytes) -> bool:
    return data.startswith(b"version https://git-lfs")


def is_web_page(data: bytes) -> bool:
    return bool(PAGE.match(data.removeprefix(b"\xef\xbb\xbf")[:4096]))


def check_download(data: bytes, path, what: str, error: type[VisionportError]) -> None:
    """Raises `error` for a file that begins as one of these. what: it should be, as "config"."""
    if is_lfs_pointer(data):
        raise error(f"{path}: this is a Git LFS pointer, not the {what} itself. Run `git lfs pull` in its repository.")
    if is_web_page(data):
        raise error(f"{path}: this is a web page (HTML), not a {what}: download the raw file.")
