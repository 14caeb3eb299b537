"""Local TCP ports: finding a free one, and naming a busy one."""

import socket

LOCALHOST = "127.0.0.1"


class PortInUseError(Exception):
    """Somebody else listens there. The text names the port and says what to do."""


def free_port() -> int:
    """Return a port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
        return port


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host:port`; raises PortInUseError when it is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)  # a bound port is claimed by nobody until then
    except OSError as error:
        listener.close()
        message = (
            f"port {port} on {host} is in use ({error.strerror}); stop what listens there "
            f"or choose another one: PORT={port + 1} make up "
            "(beside a running stack with a DATA_DIR of its own, too)"
        )
        raise PortInUseError(message) from None
    return listener
