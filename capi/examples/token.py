#!/usr/bin/env python3
"""keyfob from Python, over the C interface and with nothing but the standard library.

Usage: token.py LIBRARY

Signs in with SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, and asks the API with Python's own HTTP library.
"""

import ctypes
import sys
import urllib.request
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p

PATH = "/api/info?item_id=ce-wildfire-risk-static-us-and-canada-v3.0"
BUFFER_TOO_SMALL = 13


class Error(ctypes.Structure):
    """keyfob_error"""

    _fields_ = [
        ("status", c_int),
        ("http_status", c_int),
        ("retry_after_ms", c_uint64),
        ("oauth_error", c_char * 64),
        ("message", c_char * 1024),
    ]


class KeyfobError(Exception):
    """What a function failed with."""


class Client:
    """SpatiaFi with the credentials of the environment."""

    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.library.keyfob_spatiafi_from_env.argtypes = [c_void_p, POINTER(c_void_p), POINTER(Error)]
        reads = [c_void_p, POINTER(c_char), c_size_t, POINTER(c_size_t), POINTER(Error)]
        self.library.keyfob_api_url.argtypes = reads
        self.library.keyfob_authorization.argtypes = [reads[0], c_uint32, *reads[1:]]
        self.library.keyfob_client_free.argtypes = [c_void_p]
        self.library.keyfob_client_free.restype = None
        self.library.keyfob_version.restype = c_char_p
        self.handle = c_void_p()
        self._call(self.library.keyfob_spatiafi_from_env, None, byref(self.handle))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.keyfob_client_free(self.handle)
        self.handle = None

    def _call(self, function, *arguments):
        error = Error()
        if function(*arguments, byref(error)) != 0:
            raise KeyfobError(error.message.decode())

    def _text(self, function, *arguments):
        size = c_size_t(0)
        error = Error()
        text = ctypes.create_string_buffer(1)
        # Between one call and the next another thread may have got a token that is longer.
        while (status := function(self.handle, *arguments, text, len(text), byref(size), byref(error))) == BUFFER_TOO_SMALL:
            text = ctypes.create_string_buffer(size.value)
        if status != 0:
            raise KeyfobError(error.message.decode())
        return text.value.decode()

    def authorization(self, min_valid=60):
        return self._text(self.library.keyfob_authorization, min_valid)

    def api_url(self):
        return self._text(self.library.keyfob_api_url)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with Client(sys.argv[1]) as client:
        headers = {"Authorization": client.authorization()}
        request = urllib.request.Request(client.api_url() + PATH, headers=headers)
        with urllib.request.urlopen(request) as answer:
            print(answer.read().decode())


if __name__ == "__main__":
    try:
        main()
    except KeyfobError as error:
        sys.exit(f"token.py: {error}")
