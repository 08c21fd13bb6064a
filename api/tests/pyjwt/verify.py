"""Checks an approval token as a client's backend would, with PyJWT: verify.py KEYS_ADDRESS AUDIENCE ISSUER < TOKEN.

Prints the claims. Fails when the token proves nothing.
"""

import json
import sys

import jwt

keys_address, audience, issuer = sys.argv[1:]
token = sys.stdin.read()
key = jwt.PyJWKClient(keys_address).get_signing_key_from_jwt(token)
claims = jwt.decode(
    token,
    key,
    algorithms=["EdDSA"],
    audience=audience,
    issuer=issuer,
    options={"require": ["aud", "exp", "iat", "iss", "jti", "sub"]},
)
json.dump(claims, sys.stdout)
