"""Tests of the lab's networks: far, hanging, refusing, silent."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.lab import Relay, silent_listener, wait_until


@pytest.fixture
def echo_port() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve_echo, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        thread.join()


def test_an_answer_takes_two_delays_and_is_one_round_trip(echo_port: int) -> None:
    with Relay(echo_port, delay=0.020) as relay, closing(_connect(relay.port)) as client:
        _exchange(client, b"first")
        relay.reset_counters()
        start = time.perf_counter()
        for _ in range(5):
            _exchange(client, b"ping")
        elapsed = time.perf_counter() - start
        traffic = relay.traffic()

    assert 5 * 0.040 <= elapsed < 5 * 0.060
    assert (traffic.round_trips, traffic.bytes_to_server, traffic.bytes_to_client) == (5, 20, 20)


def test_requests_sent_together_are_one_round_trip(echo_port: int) -> None:
    with Relay(echo_port) as relay, closing(_connect(relay.port)) as client:
        for _ in range(3):
            client.sendall(b"ping")
        _receive(client, 12)

        assert relay.traffic().round_trips == 1


def test_the_delay_does_not_limit_the_throughput(echo_port: int) -> None:
    size = 32 * 1024 * 1024
    with Relay(echo_port, delay=0.050) as relay, closing(_connect(relay.port)) as client:
        _exchange(client, b"connected")
        sender = threading.Thread(target=client.sendall, args=(bytes(size),))
        start = time.perf_counter()
        sender.start()
        _receive(client, size)
        sender.join()

    assert time.perf_counter() - start < 3


def test_a_stalled_connection_goes_on_after_resuming(echo_port: int) -> None:
    with Relay(echo_port, delay=0) as relay, closing(_connect(relay.port)) as client:
        _exchange(client, b"before")
        relay.stall()
        client.sendall(b"meanwhile")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(9)
        relay.resume()

        assert _receive(client, 9) == b"meanwhile"


def test_a_reset_breaks_all_connections(echo_port: int) -> None:
    with Relay(echo_port, delay=0) as relay, closing(_connect(relay.port)) as client:
        _exchange(client, b"before")
        relay.reset()

        with pytest.raises(ConnectionResetError):
            client.recv(1)
        wait_until(lambda: relay.traffic().open_connections == 0, "the end of the connection in the relay")


def test_refused_connections_come_back_with_resume(echo_port: int) -> None:
    with Relay(echo_port, delay=0) as relay, closing(_connect(relay.port)) as old:
        _exchange(old, b"before")
        relay.refuse()
        with pytest.raises(ConnectionRefusedError):
            _connect(relay.port)
        _exchange(old, b"goes on")
        relay.resume()
        with closing(_connect(relay.port)) as new:
            _exchange(new, b"hello")

        assert relay.traffic().connections == 2


def test_dropped_connections_get_no_answer(echo_port: int) -> None:
    with Relay(echo_port, delay=0) as relay, closing(_connect(relay.port)) as old:
        _exchange(old, b"before")
        relay.drop()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                _connect(relay.port, timeout=0.2)
        _exchange(old, b"goes on")
        relay.resume()
        with closing(_connect(relay.port)) as new:
            _exchange(new, b"hello")


def test_the_end_of_a_stream_is_forwarded(echo_port: int) -> None:
    with Relay(echo_port) as relay, closing(_connect(relay.port)) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)

        assert _receive(client, 10) == b"last words"
        assert client.recv(1) == b""


def test_a_silent_listener_does_not_even_connect() -> None:
    with silent_listener() as port, pytest.raises(TimeoutError):
        _connect(port, timeout=0.2)


def test_a_silent_listener_may_connect_and_then_say_nothing() -> None:
    with (
        silent_listener(connects=True) as port,
        closing(_connect(port, timeout=0.2)) as client,
        pytest.raises(TimeoutError),
    ):
        client.recv(1)


def _serve_echo(server: socket.socket) -> None:
    threads: list[threading.Thread] = []
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # shut down
            break
        threads.append(threading.Thread(target=_echo, args=(connection,)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1 << 18):
                connection.sendall(data)
        except ConnectionResetError:
            return  # as a test wanted


def _connect(port: int, timeout: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout)


def _receive(client: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        data = client.recv(min(1 << 20, size - len(received)))
        assert data, f"the connection ended after {len(received)} of {size} bytes"
        received += data
    return bytes(received)


def _exchange(client: socket.socket, message: bytes) -> None:
    client.sendall(message)
    assert _receive(client, len(message)) == message
