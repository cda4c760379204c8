import requests

class SushyError(Exception):
    def __init__(self, message: str | None = None, **kwargs: object) -> None: ...

class HTTPError(SushyError):
    status_code: int

def raise_for_response(method: str, url: str, response: requests.Response) -> None: ...
