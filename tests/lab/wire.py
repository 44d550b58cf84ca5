"""Frames between client, server and guest: type (1 byte), job and length (4 bytes each, little endian), body.

To the guest: M (the machine's set-up, JSON), J (job, JSON), I (input; empty is end of file),
W (window size: rows, columns), K (kill the job), P (ping, sent back as it is). From the guest:
R (ready), O (output), E (error output), X (the job's exit status, JSON). Only between server and client: S (stop
serving), F (why the lab could not run the job).
"""

import struct

HEAD = struct.Struct("<cII")
# Nobody sends more at once; a larger length means that the stream is out of step.
BODY_MAX = 1 << 20


class Closed(Exception):
    """The other side went away."""


class Torn(Exception):
    """Not a frame: the stream cannot be read any further."""


def pack(kind, job=0, body=b""):
    return HEAD.pack(kind, job, len(body)) + body


def receive(read):
    """One frame from `read(count)`, which returns some bytes or none at the end: type, job, body."""
    kind, job, length = HEAD.unpack(exactly(read, HEAD.size))
    if length > BODY_MAX:
        raise Torn(f"a frame of {length} bytes")
    return kind, job, exactly(read, length)


def exactly(read, count):
    data = b""
    while len(data) < count:
        piece = read(count - len(data))
        if not piece:
            raise Closed()
        data += piece
    return data
