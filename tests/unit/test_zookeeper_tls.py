"""What TLS does to a connection that others wait on, select from and shut from another thread."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hamon.coordination.connection import BoundedHandler
from hamon.coordination.session import TlsFiles
from lab.authority import Authority

HERE = "127.0.0.1"
WITHIN_S = 10.0


@pytest.fixture
def handler(tmp_path: Path) -> BoundedHandler:
    """Give what makes connections."""
    return BoundedHandler(WITHIN_S, WITHIN_S, TlsFiles(ca_file=Authority(tmp_path).certificate))


@pytest.fixture
def pair(handler: BoundedHandler, tmp_path: Path) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Give both ends of an encrypted connection: the one made by the handler, and the other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("zookeeper", HERE))
    accepted: list[ssl.SSLSocket] = []

    with socket.create_server((HERE, 0)) as listening:
        listening.settimeout(WITHIN_S)

        def accept() -> None:
            accepted.append(context.wrap_socket(listening.accept()[0], server_side=True))

        server = threading.Thread(target=accept)
        server.start()
        address = (HERE, listening.getsockname()[1])
        client = handler.create_connection(address=address, hostname=HERE)
        server.join()
    assert isinstance(client, ssl.SSLSocket)
    with client, accepted[0]:
        yield client, accepted[0]


def test_select__rest_of_an_answer_is_decrypted_already__is_ready(
    handler: BoundedHandler, pair: tuple[ssl.SSLSocket, ssl.SSLSocket]
) -> None:
    """The kernel has nothing any more: kazoo would wait until something else arrives."""
    client, server = pair
    server.sendall(b"two answers")
    assert handler.select([client], [], [], WITHIN_S)[0] == [client]
    assert client.recv(4) == b"two "

    assert handler.select([client], [], [], 0.0)[0] == [client]
    assert client.recv(100) == b"answers"
    assert handler.select([client], [], [], 0.0)[0] == []
