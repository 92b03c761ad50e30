"""An OpenID provider as a program: discovery, keys, a login form, tokens and userinfo, and faults on demand.

`python openid_server.py PORT CLIENT_ID CLIENT_SECRET`, then `people` and `faults` by `PUT /control`.
"""

import base64
import hashlib
import hmac
import html
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

FORM = """<!doctype html><title>Provider</title><form method="post">
<label>Name <input name="user"></label><label>Password <input name="password" type="password"></label>
<button id="allow">Sign in</button><button name="deny" value="1" formnovalidate>Cancel</button>
<p>{message}</p></form>"""


class Provider:
    """What the provider knows."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self.client_secret = client_secret
        self.people: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, Any] = {}
        self.codes: dict[str, dict[str, Any]] = {}
        self.access: dict[str, str] = {}
        self.seen: list[str] = []
        self.key = self.stranger = RSAKey.generate_key(2048)
        self.rotate()

    def rotate(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})
        self.stranger = RSAKey.generate_key(2048, {"kid": self.key.kid or ""})

    def metadata(self) -> dict[str, Any]:
        at = self.issuer
        document = {
            "issuer": at,
            "authorization_endpoint": f"{at}/authorize",
            "token_endpoint": f"{at}/token",
            "userinfo_endpoint": f"{at}/userinfo",
            "jwks_uri": f"{at}/keys",
            "token_endpoint_auth_methods_supported": [self.faults.get("auth", "client_secret_basic")],
            "authorization_response_iss_parameter_supported": True,
        }
        return document | self.faults.get("metadata", {})

    def keys(self) -> dict[str, Any]:
        # One that clients do not know the kind of, as newer ones will be.
        others = self.faults.get("other_keys", [{"kty": "NEW", "kid": "other"}])
        return {"keys": [*others, self.key.as_dict(private=False)]}

    def id_token(self, grant: dict[str, Any]) -> str:
        person, now = self.people[grant["user"]], int(time.time())
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": grant["nonce"]}
        claims |= {} if self.faults.get("thin") else person
        claims |= {"sub": person["sub"]} | self.faults.get("claims", {})
        claims = {name: value for name, value in claims.items() if value is not None}
        for name in ("iat", "exp"):
            if isinstance(claims.get(name), str):
                claims[name] = now + int(claims[name])
        header = {"alg": "RS256", "kid": self.key.kid, "x-more": "than others know"} | self.faults.get("header", {})
        header = {name: value for name, value in header.items() if value is not None}
        registry = JWSRegistry(algorithms=["RS256"], strict_check_header=False)
        match self.faults.get("signature"):
            case "none":
                parts = (json.dumps({"alg": "none", "kid": self.key.kid}), json.dumps(claims))
                return ".".join(_base64(part.encode()) for part in parts) + "."
            case "hs256":
                # Signed with what everybody can see: the public key, taken for a shared secret.
                parts = (json.dumps({"alg": "HS256", "kid": self.key.kid}), json.dumps(claims))
                signed = ".".join(_base64(part.encode()) for part in parts)
                return f"{signed}.{_base64(hmac.digest(self.key.as_pem(private=False), signed.encode(), 'sha256'))}"
            case "stranger":
                return jwt.encode(header, claims, self.stranger, registry=registry)
            case "unknown":
                return jwt.encode(header | {"kid": "unknown"}, claims, self.stranger, registry=registry)
            case _:
                return jwt.encode(header, claims, self.key, registry=registry)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    provider: Provider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _handle(self) -> None:
        url = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = url.path.strip("/")
        if place == "control":
            self._control(body)
            return
        self.provider.seen.append(place)
        fault = self.provider.faults.get(place)
        if fault == "hang":
            time.sleep(3600)
        elif fault == "huge":
            self._answer(200, b" " * (1 << 20), "application/json")
        elif fault == "garbage":
            self._answer(200, b"<html>", "text/html")
        elif isinstance(fault, int):
            self._answer(fault, b'{"error": "server_error"}', "application/json")
        else:
            self._route(place, {name: values[0] for name, values in parse_qs(body.decode()).items()})

    def _route(self, place: str, form: dict[str, str]) -> None:
        match (self.command, place):
            case ("GET", ".well-known/openid-configuration"):
                self._json(self.provider.metadata())
            case ("GET", "keys"):
                self._json(self.provider.keys())
            case ("GET", "authorize"):
                self._form("")
            case ("POST", "authorize"):
                self._login(form)
            case ("POST", "token"):
                self._token(form)
            case ("GET", "userinfo"):
                self._userinfo()
            case _:
                self._json({"error": "not_found"}, 404)

    def _control(self, body: bytes) -> None:
        if self.command == "PUT":
            wanted = json.loads(body)
            self.provider.people = wanted.get("people", self.provider.people)
            self.provider.faults = wanted.get("faults", {})
            if wanted.get("rotate"):
                self.provider.rotate()
            self.provider.seen.clear()
        self._json({"seen": self.provider.seen})

    def _form(self, message: str) -> None:
        problem = ""
        if self.query.get("client_id") != self.provider.client_id or self.query.get("response_type") != "code":
            problem = "unknown client"
        elif self.query.get("code_challenge_method") != "S256" or "openid" not in self.query.get("scope", "").split():
            problem = "PKCE with S256 and the scope openid are needed"
        self._answer(
            400 if problem else 200, FORM.format(message=html.escape(problem or message)).encode(), "text/html"
        )

    def _login(self, form: dict[str, str]) -> None:
        back = {"state": self.query["state"], "iss": self.provider.faults.get("iss", self.provider.issuer)}
        person = self.provider.people.get(form.get("user", ""))
        if "deny" in form:
            back["error"] = "access_denied"
        elif person is None or form.get("password") != f"password of {form['user']}":
            self._form("wrong")
            return
        else:
            back["code"] = secrets.token_urlsafe(16)
            self.provider.codes[back["code"]] = self.query | {"user": form["user"]}
        self._answer(302, b"", location=f"{self.query['redirect_uri']}?{urlencode(back)}")

    def _token(self, form: dict[str, str]) -> None:
        grant = self.provider.codes.pop(form.get("code", ""), None)
        if not self._is_client(form):
            self._json({"error": "invalid_client"}, 401)
            return
        challenge = _base64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if grant is None or grant["code_challenge"] != challenge or grant["redirect_uri"] != form.get("redirect_uri"):
            self._json({"error": "invalid_grant"}, 400)
            return
        access = secrets.token_urlsafe(16)
        self.provider.access[access] = grant["user"]
        token = self.provider.id_token(grant)
        self._json(
            {"access_token": access, "token_type": "Bearer", "id_token": token} | self.provider.faults.get("tokens", {})
        )

    def _is_client(self, form: dict[str, str]) -> bool:
        scheme, _, login = (self.headers.get("Authorization") or "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(login).decode().partition(":")
            given, way = (unquote(name), unquote(secret)), "client_secret_basic"
        else:
            given, way = (form.get("client_id", ""), form.get("client_secret", "")), "client_secret_post"
        if not self.provider.client_secret:
            way = "client_secret_basic"
        expected = self.provider.faults.get("auth", "client_secret_basic")
        return given == (self.provider.client_id, self.provider.client_secret) and way == expected

    def _userinfo(self) -> None:
        user = self.provider.access.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if user is None:
            self._json({"error": "invalid_token"}, 401)
            return
        self._json(self.provider.people[user] | self.provider.faults.get("more", {}))

    def _json(self, document: object, status: int = 200) -> None:
        self._answer(status, json.dumps(document).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str = "text/html", location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main(port: str, client_id: str, client_secret: str) -> None:
    Handler.provider = Provider(f"http://127.0.0.1:{port}", client_id, client_secret)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
