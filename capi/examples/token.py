#!/usr/bin/env python3
"""keyfob from Python, over the C interface and with nothing but the standard library.

Usage: token.py LIBRARY SERVICE PATH

The service is built in, or described by config.toml. Prints the answer of its API to PATH, which Python's own
HTTP library requests with the headers of keyfob.
"""

import ctypes
import sys
import urllib.error
import urllib.request
from ctypes import CFUNCTYPE, POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p

BUFFER_TOO_SMALL = 13
ON_HEADER = CFUNCTYPE(c_int, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p)


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
    """The failure of a function."""


class Client:
    """A service, its credentials and its tokens."""

    def __init__(self, library, service):
        self.library = ctypes.CDLL(library)
        self.library.keyfob_client_from_config.argtypes = [
            c_char_p, c_size_t, c_void_p, POINTER(c_void_p), POINTER(Error)
        ]
        reads = [POINTER(c_char), c_size_t, POINTER(c_size_t), POINTER(Error)]
        self.library.keyfob_api_url.argtypes = [c_void_p, *reads]
        self.library.keyfob_headers.argtypes = [c_void_p, c_uint32, ON_HEADER, c_void_p, POINTER(Error)]
        self.library.keyfob_client_free.argtypes = [c_void_p]
        self.library.keyfob_client_free.restype = None
        self.library.keyfob_status_name.restype = c_char_p
        self.handle = c_void_p()
        name = service.encode()
        self._call(self.library.keyfob_client_from_config, name, len(name), None, byref(self.handle))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.keyfob_client_free(self.handle)
        self.handle = None

    def _fail(self, status, error):
        name = self.library.keyfob_status_name(status).decode()
        raise KeyfobError(f"{name}: {error.message.decode()}")

    def _call(self, function, *arguments):
        error = Error()
        if (status := function(*arguments, byref(error))) != 0:
            self._fail(status, error)

    def api_url(self):
        size, error, text = c_size_t(0), Error(), ctypes.create_string_buffer(256)
        function = self.library.keyfob_api_url
        while (status := function(self.handle, text, len(text), byref(size), byref(error))) == BUFFER_TOO_SMALL:
            text = ctypes.create_string_buffer(size.value)
        if status != 0:
            self._fail(status, error)
        return text.value.decode()

    def headers(self, min_valid=60):
        headers = {}

        @ON_HEADER
        def on_header(name, name_len, value, value_len, _):
            headers[ctypes.string_at(name, name_len).decode()] = ctypes.string_at(value, value_len).decode("latin-1")
            return 0

        self._call(self.library.keyfob_headers, self.handle, min_valid, on_header, None)
        return headers


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    _, library, service, path = sys.argv
    with Client(library, service) as client:
        request = urllib.request.Request(client.api_url() + path)
        for name, value in client.headers().items():
            # A redirect could lead to another server.
            request.add_unredirected_header(name, value)
        with urllib.request.urlopen(request) as answer:
            print(answer.read().decode())


if __name__ == "__main__":
    try:
        main()
    except (KeyfobError, urllib.error.URLError) as error:
        sys.exit(f"token.py: {error}")
