"""What becomes of a request that is refused: a canonical code, which gRPC sends as it is and HTTP by its number."""

from visionport.errors import VisionportError

# Canonical code -> HTTP status. Reference: ToHTTPStatusCode in TensorFlow Serving's http_server.cc.
HTTP = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}


class RequestError(VisionportError):
    """A request that gets no answer but this sentence. http: the status where HTTP knows a more exact one."""

    def __init__(self, code: str, message: str, http: int | None = None):
        super().__init__(message)
        self.code = code
        self.http = http or HTTP[code]


def invalid(message: str) -> RequestError:
    return RequestError("INVALID_ARGUMENT", message)
