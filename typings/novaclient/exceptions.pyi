class ClientException(Exception):
    code: int
