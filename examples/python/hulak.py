"""Calls Hulak, and verifies its approval tokens. Shared by the two examples beside it."""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import jwt

# Where Hulak is. It is what the tokens name as their issuer, too.
HULAK = os.environ.get("HULAK_PUBLIC_URL", "http://127.0.0.1:8080").rstrip("/")
# Which client application this backend is: `hulak clients list` shows the id.
CLIENT_ID = os.environ.get("HULAK_CLIENT_ID")
# Seconds by which this machine's clock may be wrong.
LEEWAY = 30

KEYS = jwt.PyJWKClient(f"{HULAK}/.well-known/jwks.json", cache_keys=True, lifespan=300, timeout=5)


def api_key():
    """The key: from the environment, or from the file that the one-process shape makes."""
    return os.environ.get("HULAK_API_KEY") or Path("hulak-data/api-key").read_text(encoding="ascii").strip()


class Problem(Exception):
    """What Hulak answered instead: `slug` for the program, `detail` for a person."""

    def __init__(self, status, body, retry_after=None):
        super().__init__(body.get("detail", ""))
        self.status, self.body, self.retry_after = status, body, retry_after
        self.slug = body.get("type", "").rsplit("/", 1)[-1]


def call(method, path, body=None, headers=None, timeout=10):
    """One call: the answer's body and its headers. A 304 has no body."""
    request = urllib.request.Request(HULAK + path, method=method)
    request.add_header("Authorization", f"Bearer {api_key()}")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    data = None
    if body is not None:
        request.add_header("Content-Type", "application/json")
        data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=timeout) as response:
            return json.loads(response.read() or b"null"), response.headers
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 304:
                return None, error.headers
            try:
                problem = json.loads(error.read())
            except ValueError:
                problem = {}
            raise Problem(error.code, problem, error.headers.get("Retry-After")) from None
    except OSError as error:
        raise Problem(503, {"type": "unavailable", "detail": f"Hulak cannot be reached: {error}"}) from None


def read_token(token, audience=CLIENT_ID):
    """The claims of an approval token that Hulak signed for this application, and that has not run out."""
    return jwt.decode(
        token,
        KEYS.get_signing_key_from_jwt(token),
        algorithms=["EdDSA"],  # never what the token itself asks for
        issuer=HULAK,
        audience=audience,
        leeway=LEEWAY,
        options={"require": ["iss", "aud", "sub", "exp", "jti", "purpose"]},
    )


class Spent:
    """The tokens that were used. Two processes need a shared one: a table with `jti` as its primary key."""

    def __init__(self):
        self.lock, self.until = threading.Lock(), {}

    def spend(self, claims):
        """Whether this is the first use."""
        with self.lock:
            now = time.time()
            self.until = {jti: end for jti, end in self.until.items() if end > now}
            if claims["jti"] in self.until:
                return False
            self.until[claims["jti"]] = claims["exp"] + LEEWAY
            return True
