"""The official Python client gets a token and prints it. Its fixed addresses are moved to the sandbox, which is also stricter than
the service about the parameter `charset`."""

import os

from authlib.oauth2 import client
from spatiafi import session

MOVED = os.environ["SPATIAFI_AUTH_URL"]
PUBLIC = "https://auth.spatiafi.com"


def moved(make):
    def made(*arguments, **named):
        def move(value):
            return value.replace(PUBLIC, MOVED) if isinstance(value, str) else value

        return make(*map(move, arguments), **{name: move(value) for name, value in named.items()})

    return made


session.OAuth2Session = moved(session.OAuth2Session)
session.ClientSecretJWT = moved(session.ClientSecretJWT)
client.DEFAULT_HEADERS["Content-Type"] = "application/x-www-form-urlencoded"
os.environ["REQUESTS_CA_BUNDLE"] = os.environ["KEYFOB_CA_FILE"]
print(session.get_session().token["access_token"])
