"""Where a server is, and which model of it is meant, from a URL."""

import re
import urllib.parse
from dataclasses import dataclass

from visionport.errors import OptionError, shortened

PORTS = {"http": 8501, "https": 8501, "grpc": 8500, "grpcs": 8500}
MODEL = re.compile(
    r"(?P<before>.*?)/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d{1,19})|/labels/(?P<label>[^/:]+))?(:\w+|/metadata)?",
    re.IGNORECASE,
)
SHORT = re.compile(r"/(?P<name>[^/:]+)(/versions/(?P<version>\d{1,19})|/labels/(?P<label>[^/:]+))?")
FORMS = "http://HOST:8501/v1/models/NAME, http://HOST:8501 with --model NAME, or grpc://HOST:8500 with --model NAME"


@dataclass(frozen=True, kw_only=True)
class Address:
    """scheme: http, https, grpc or grpcs. before: what stands in a path before the API's own, as behind a proxy. model:
    "" where it is not said."""

    scheme: str
    host: str
    port: int
    before: str = ""
    model: str = ""
    version: int | None = None
    label: str = ""

    @property
    def is_rest(self) -> bool:
        return self.scheme.startswith("http")

    @property
    def is_secure(self) -> bool:
        return self.scheme.endswith("s")

    @property
    def place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"

    @property
    def model_path(self) -> str:
        """Of the model's version in the REST API."""
        path = f"{self.before}/v1/models/{urllib.parse.quote(self.model, safe='')}"
        if self.version is not None:
            return f"{path}/versions/{self.version}"
        return f"{path}/labels/{urllib.parse.quote(self.label, safe='')}" if self.label else path


def read_address(url: str, model: str | None = None) -> Address:
    """What a URL says; HOST:PORT alone is gRPC's. Raises OptionError for what is none."""
    text = url if "://" in url else f"grpc://{url}"
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError:
        raise OptionError(f"{shortened(url)} is no URL. Give {FORMS}.") from None
    if parts.scheme not in PORTS or not parts.hostname or re.search(r"[\s\x00-\x1f]", url):
        raise OptionError(f"{shortened(url)} is no URL of a server. Give {FORMS}.")
    if parts.username or parts.query or parts.fragment:
        raise OptionError(f"{shortened(url)}: names, '?' and '#' mean nothing here. Give {FORMS}.")
    path = parts.path.rstrip("/")
    form = MODEL if parts.scheme.startswith("http") else SHORT
    found = (form.fullmatch(path) or MODEL.fullmatch(path)) if path else None
    if path and not found and (not parts.scheme.startswith("http") or not model):
        raise OptionError(f"{shortened(url)}: this path names no model. Give {FORMS}.")
    said = found.groupdict() if found else {}
    name = urllib.parse.unquote(said.get("name") or "")
    if model and name and name != model:
        raise OptionError(f"--model {model}: the URL names {shortened(name)}. Leave one of them out.")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port if port is not None else PORTS[parts.scheme],
        before=said.get("before", "") if found else path,
        model=model or name,
        version=int(said["version"]) if said.get("version") else None,
        label=urllib.parse.unquote(said.get("label") or ""),
    )
