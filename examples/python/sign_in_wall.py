#!/usr/bin/env python3
"""A sign-in wall: who comes in has proved a phone number.

    pip install -r examples/python/requirements.txt
    HULAK_CLIENT_ID=… python3 examples/python/sign_in_wall.py

    POST /login        {"phone"}               sends a code, if somebody has an account with this number
    POST /login        {"phone", "username"}   makes an account, and sends a code
    POST /login/code   {"code"}                checks it, and lets in
    POST /login/token  {"token"}               the same for a page that checked the code itself
    GET  /me                                   who is in
    POST /logout

HULAK_PUBLIC_URL, HULAK_API_KEY and HULAK_CLIENT_ID say which Hulak, and as whom; PORT (8000) where this listens. Sessions
live in memory here: keep them wherever your framework does.
"""

import contextlib
import hashlib
import json
import os
import secrets
import sys
import threading
import time
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

from hulak import CLIENT_ID, Problem, Spent, call, read_token

SPENT = Spent()
DEVANAGARI = str.maketrans("०१२३४५६७८९", "0123456789")


class Refused(Exception):
    """Nobody comes in by this."""


def begin(session, phone, purpose="sign_in", **more):
    mine = hashlib.sha256(session["id"].encode()).hexdigest()
    wanted = {"phone": phone, "purpose": purpose, "session": mine, **more}
    verification, _ = call("POST", "/v1/verifications", wanted)
    session.update(verification=verification["id"], purpose=purpose)
    return verification


def finish(session, code):
    path = f"/v1/verifications/{session['verification']}/check"
    approval, _ = call("POST", path, {"code": code.translate(DEVANAGARI).strip()})
    return admit(session, approval["token"])


def admit(session, token):
    claims = read_token(token)
    if (claims["jti"], claims["purpose"]) != (session["verification"], session["purpose"]):
        raise Refused("token-of-another")
    if not SPENT.spend(claims):
        raise Refused("token-used")
    return claims


# --- What a framework does ---------------------------------------------------------------------------------------------

LIFE = 12 * 3600
BODY_LIMIT = 16 * 1024


class Sessions:
    """Visitors, by the cookie that nobody can guess."""

    def __init__(self):
        self.lock, self.all = threading.Lock(), {}

    def find(self, id):
        with self.lock:
            session = self.all.get(id)
        return session if session and session["until"] > time.time() else None

    def start(self, **what):
        session = {"id": secrets.token_urlsafe(32), "until": time.time() + LIFE, **what}
        with self.lock:
            self.all = {id: each for id, each in self.all.items() if each["until"] > time.time()}
            self.all[session["id"]] = session
        return session

    def end(self, id):
        with self.lock:
            self.all.pop(id, None)


SESSIONS = Sessions()


def text(body, name):
    """A text of the body."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f"{name}-missing")
    return value


def sign_up(session, phone, username, **more):
    """Begins a sign-up. The account is only worth something once its number is verified, so a refusal takes it back."""
    account, _ = call("POST", "/v1/accounts", {"username": username})
    try:
        return begin(session, phone, "sign_up", account_id=account["id"], **more)
    except Problem:
        with contextlib.suppress(Problem):
            call("DELETE", f"/v1/accounts/{account['id']}")
        raise


class Wall(BaseHTTPRequestHandler):
    """Five routes."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        """Says nothing: a log is no place for who signs in."""

    def session(self):
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        except CookieError:
            return None
        return SESSIONS.find(cookie.value) if cookie else None

    def body(self):
        # A form of another site can send neither this type nor, with SameSite, the cookie.
        if self.headers.get_content_type() != "application/json":
            raise Refused("json-only")
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= BODY_LIMIT:
            raise Refused("body-size")
        body = json.loads(self.rfile.read(length))
        if not isinstance(body, dict):
            raise Refused("json-only")
        return body

    def answer(self, status, body, session=None, headers=None):
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        if session is not None:
            # Behind https, add `; Secure`.
            age = LIFE if session else 0
            self.send_header("Set-Cookie", f"session={session}; HttpOnly; SameSite=Lax; Path=/; Max-Age={age}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            # Said aloud, or the visitor's next request may be on its way into a closed connection.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        session = self.session()
        if self.path != "/me":
            self.answer(404, {"problem": "not-found"})
        elif session is None or "user" not in session:
            self.answer(401, {"problem": "not-signed-in"})
        else:
            self.answer(200, session["user"])

    def do_POST(self):
        route = {
            "/login": self.login, "/login/code": self.code, "/login/token": self.token, "/logout": self.logout,
        }.get(self.path)
        if route is None:
            self.close_connection = True
            return self.answer(404, {"problem": "not-found"})
        try:
            route(self.body())
        except Problem as problem:
            self.pass_on(problem)
        except Refused as refused:
            self.close_connection = True
            self.answer(401 if str(refused).startswith("token") else 400, {"problem": str(refused)})
        except jwt.PyJWKClientConnectionError:
            self.answer(503, {"problem": "unavailable"}, headers={"Retry-After": "2"})
        except jwt.PyJWTError:
            self.answer(401, {"problem": "token-invalid"})
        except ValueError:
            self.close_connection = True
            self.answer(400, {"problem": "malformed-json"})

    def pass_on(self, problem):
        """Hulak's own words, but for those that are about this backend and not about the visitor."""
        if problem.slug in ("unauthorized", "forbidden", "not-found", "internal", ""):
            print(f"Hulak says {problem.status} {problem.slug}: {problem}", file=sys.stderr)
            return self.answer(502, {"problem": "internal"})
        shown = {"problem": problem.slug, "detail": str(problem)}
        if "checks_remaining" in problem.body:
            shown["checks_remaining"] = problem.body["checks_remaining"]
        retry = {"Retry-After": problem.retry_after} if problem.retry_after else {}
        return self.answer(problem.status, shown, headers=retry)

    def login(self, body):
        session = self.session() or SESSIONS.start()
        # Behind a proxy this is the proxy's: take the address that the proxy vouches for.
        more = {"end_user_ip": self.client_address[0]}
        if "username" in body:
            verification = sign_up(session, text(body, "phone"), text(body, "username"), **more)
        else:
            verification = begin(session, text(body, "phone"), **more)
        shown = ("id", "client_token", "status", "resend_after", "expires_at")
        self.answer(202, {name: verification[name] for name in shown}, session["id"])

    def begun(self):
        session = self.session()
        if session is None or "verification" not in session:
            raise Refused("login-not-begun")
        return session

    def code(self, body):
        self.let_in(finish(self.begun(), text(body, "code")))

    def token(self, body):
        self.let_in(admit(self.begun(), text(body, "token")))

    def let_in(self, claims):
        user = {name: claims.get(name) for name in ("account_id", "username", "groups", "permissions")}
        user["phone"] = claims["sub"]
        # A new cookie: whoever may have known the old one is not in.
        self.answer(200, user, SESSIONS.start(user=user)["id"])

    def logout(self, _body):
        session = self.session()
        if session is not None:
            SESSIONS.end(session["id"])
        self.answer(200, {}, "")


def main():
    if CLIENT_ID is None:
        sys.exit("HULAK_CLIENT_ID is not set: `hulak clients list` shows it, and verify.py prints it")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Wall)
    server.daemon_threads = True
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
