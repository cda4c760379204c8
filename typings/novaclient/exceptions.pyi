class ClientException(Exception):
    code: int

class Unauthorized(ClientException): ...
