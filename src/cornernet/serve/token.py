"""A token that requests must show, for servers that others can reach."""

from __future__ import annotations

import hmac
import re
from typing import Annotated

from fastapi import Depends
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from cornernet.errors import InputError
from cornernet.serve.limits import RequestError

_BEARER = HTTPBearer(auto_error=False, description="The server's token, if it has one")
_LEAST = 16  # characters: what can be guessed protects nothing
_GOOD = f"give {_LEAST} or more letters and digits, such as those of `openssl rand -hex 20`"


def check_token(token: str | None) -> str | None:
    """The token as it is; ``InputError`` if it is short, or cannot stand in a header."""
    if token is not None and not re.fullmatch(rf"[\x21-\x7e]{{{_LEAST},}}", token):
        raise InputError("is short, or has a space or a letter with an accent in it", "--token", _GOOD)
    return token


def require_token(token: str | None) -> list[Dependency]:
    """What a route depends on: each request must have the header ``Authorization: Bearer TOKEN``, or is refused 401."""
    if token is None:
        return []
    expected = token.encode()

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            what = "this server wants its token" if given is None else "this is not the server's token"
            fix = "send the header Authorization: Bearer TOKEN"
            raise RequestError(401, what, fix=fix, headers={"WWW-Authenticate": "Bearer"})

    return [Depends(check)]
