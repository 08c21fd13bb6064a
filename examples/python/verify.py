#!/usr/bin/env python3
"""Verifies a number from the command line: python3 examples/python/verify.py 9812345678

Asks for a code, follows its message, takes what you type, and verifies the token. With `cargo run` the message is at
http://127.0.0.1:8081/inbox.
"""

import sys

import jwt

from hulak import CLIENT_ID, Problem, call, read_token

DEVANAGARI = str.maketrans("०१२३४५६७८९", "0123456789")
MOVING = ("queued", "sending")


def follow(path, tag):
    """Waits until the message has left, or will not leave."""
    while True:
        found, headers = call("GET", f"{path}?wait=20", headers={"If-None-Match": tag}, timeout=30)
        tag = headers["ETag"]
        if found and (found["delivery"]["status"] not in MOVING or found["status"] != "pending"):
            return found["delivery"]["status"]


def ask(path):
    """Takes codes until one is right: its token."""
    while True:
        print("Code (nothing: send another message):", flush=True)
        line = sys.stdin.readline()
        if not line:
            sys.exit("No code, no proof.")
        try:
            if not line.strip():
                call("POST", f"{path}/resend")
                print("Another message is on its way.", flush=True)
                continue
            approval, _ = call("POST", f"{path}/check", {"code": line.translate(DEVANAGARI).strip()})
            return approval["token"]
        except Problem as problem:
            if problem.slug not in ("incorrect-code", "malformed-code", "resend-cooldown"):
                raise
            print(f"{problem.slug}: {problem}", flush=True)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: verify.py NUMBER")
    verification, headers = call("POST", "/v1/verifications", {"phone": sys.argv[1]})
    path = f"/v1/verifications/{verification['id']}"
    print(f"Verifying {verification['phone']} ({verification['operator'] or 'unknown operator'})", flush=True)
    print(f"Message: {follow(path, headers['ETag'])}", flush=True)
    token = ask(path)
    # It came from Hulak in answer to our own key, so it may tell who we are. One that a page brings may not.
    audience = CLIENT_ID or jwt.decode(token, options={"verify_signature": False})["aud"]
    claims = read_token(token, audience)
    print(f"Verified: {claims['sub']}\nApplication: {claims['aud']}\nToken: {token}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(f"{problem.slug}: {problem}")
    except jwt.PyJWTError as error:
        sys.exit(f"This token proves nothing: {error}")
