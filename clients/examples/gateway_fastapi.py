"""The same API with FastAPI, where each route says what it demands."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI

from tokenservice import Connection, Principal, Validator
from tokenservice.middleware.fastapi import protect, require

connection = Connection.from_env()
validator = Validator(connection)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Follow the trust feed while the application runs."""
    async with connection, validator:
        yield


app = FastAPI(lifespan=lifespan)
protect(app, validator, audience="orders")

Reader = Annotated[Principal, Depends(require(scopes=["orders.read"]))]
recently = require(scopes=["orders.write"], max_auth_age=timedelta(hours=1))
Writer = Annotated[Principal, Depends(recently)]


@app.get("/orders")
async def orders(caller: Reader) -> dict[str, str]:
    """Say who is calling."""
    return {"caller": caller.subject}


@app.post("/orders")
async def order(caller: Writer) -> dict[str, str]:
    """Say who is ordering."""
    return {"caller": caller.subject}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
