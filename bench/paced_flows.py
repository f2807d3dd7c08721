"""Sends the first packets of new flows at an exact rate; runs as a separate process.

`python -m bench.paced_flows FRAME RATE SECONDS FIRST`: FRAME is a UDP frame in hex, whose ports are replaced by the
number of each flow, counted from FIRST. Prints the number of packets sent and the seconds that it took.
"""

import ctypes
import os
import socket
import struct
import sys
import time

_BURST = 50
_PORTS_AT = 34  # after Ethernet and IPv4
_PORTS = struct.Struct("!HH")


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Sender:
    """Sends bursts of one frame with changing ports by sendmmsg(2)."""

    def __init__(self, frame: bytes) -> None:
        """Prepare a burst on eth0 of the network namespace of this thread."""
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind(("eth0", 0))
        self._size = len(frame)
        self._frames = ctypes.create_string_buffer(frame * _BURST, len(frame) * _BURST)
        self._messages = (_Message * _BURST)()
        start = ctypes.addressof(self._frames)
        self._vectors = [_Vector(start + number * self._size, self._size) for number in range(_BURST)]
        for message, vector in zip(self._messages, self._vectors, strict=True):
            message.header.vectors = ctypes.pointer(vector)
            message.header.vector_count = 1
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg

    def burst(self, first: int) -> int:
        """Send flows `first` to `first` + 49; return how many."""
        for number in range(_BURST):
            flow = first + number
            # source ports from 1024, and another destination port for every 60,000 flows
            _PORTS.pack_into(self._frames, number * self._size + _PORTS_AT, 1024 + flow % 60_000, 1024 + flow // 60_000)
        sent = 0
        while sent < _BURST:
            place = ctypes.byref(self._messages, sent * ctypes.sizeof(_Message))
            done = self._send(self._socket.fileno(), place, _BURST - sent, 0)
            if done < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            sent += done
        return sent


def main(frame: bytes, rate: int, duration_s: float, first: int) -> None:
    """Send `rate` flows per second, never ahead of time; late ones are sent immediately."""
    sender = Sender(frame)
    begun_s = time.monotonic()
    sent, total = 0, int(rate * duration_s) // _BURST * _BURST
    while sent < total:
        sent += sender.burst(first + sent)
        ahead_s = begun_s + sent / rate - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)
    print(sent, time.monotonic() - begun_s)


if __name__ == "__main__":
    main(bytes.fromhex(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
