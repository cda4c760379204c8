"""What runs in the guest of test_watchdog: a network card, and then hamon's heartbeat process."""

import fcntl
import runpy
import socket
import struct
import sys

ADDRESS, MASK = "10.0.2.15", "255.255.255.0"
SET_ADDRESS, SET_MASK, SET_FLAGS = 0x8916, 0x891C, 0x8914
UP = 0x1


def configure(card: str, address: str, mask: str) -> None:
    """Give a network card its address, and switch it on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        for request, text in ((SET_ADDRESS, address), (SET_MASK, mask)):
            place = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))
            fcntl.ioctl(anything, request, struct.pack("16s16s", card.encode(), place))
        fcntl.ioctl(anything, SET_FLAGS, struct.pack("16sH14x", card.encode(), UP))


configure("lo", "127.0.0.1", "255.0.0.0")
configure("eth0", ADDRESS, MASK)
sys.argv = ["heartbeat", "--config", "/agent.toml"]
runpy.run_module("hamon.agent.heartbeat", run_name="__main__")
