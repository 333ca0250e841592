"""Runs the sandbox in a process of its own, and plays the person at the browser, for scripts."""

import http.client
import json
import os
import re
import ssl
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlencode, urlsplit

OURS = ("ACME_", "KEYFOB_", "SPATIAFI_", "SPACEBRING_", "LD_")


class Sandbox:
    def __init__(self, program, *options):
        self.command = [program, "--json", "--until-stdin-closes", "--seconds", "0", *options]

    def __enter__(self):
        self.log = tempfile.NamedTemporaryFile()
        self.server = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.settings = json.loads(self.server.stdout.readline())
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait()
        self.log.close()

    def requests(self):
        """Returns how many requests have arrived. Needs `--verbose`."""
        return Path(self.log.name).read_bytes().count(b"\n")

    def environment(self):
        """Returns this program's environment, pointed at the sandbox."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**inherited, **self.settings}

    def approve(self, url, decision="allow"):
        """Logs in and allows the request, or denies it. Returns the callback URL."""
        address = urlsplit(url)
        if address.scheme == "https":
            trust = ssl.create_default_context(cafile=self.settings["KEYFOB_CA_FILE"])
            connection = http.client.HTTPSConnection(address.netloc, context=trust)
        else:
            connection = http.client.HTTPConnection(address.netloc)
        connection.request("GET", f"{address.path}?{address.query}")
        login = re.search(r'type="hidden" name="(\w+)" value="([^"]+)"', connection.getresponse().read().decode())
        for path, fields in [
            ("/oauth2/login", {"username": "demo@example.com", "password": "open & shut + 100%"}),
            ("/oauth2/consent", {"decision": decision}),
        ]:
            form = urlencode({login[1]: login[2], **fields})
            connection.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            answer.read()
        connection.close()
        return answer.headers["Location"]
