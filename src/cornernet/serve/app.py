"""The routes of the server, and the form of their answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from cornernet.drawing.text import class_color
from cornernet.errors import InputError
from cornernet.serve.drain import DrainBody
from cornernet.serve.limits import RequestError
from cornernet.serve.metrics import Measured
from cornernet.serve.responses import detections_as_json
from cornernet.serve.schema import Error, ExplainedPrediction, Health, Prediction
from cornernet.serve.service import Service
from cornernet.serve.token import require_token
from cornernet.serve.upload import FIELD
from cornernet.typed import with_decimal_point

_PAGE = Path(__file__).parent / "page"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _BYTES["schema"]}}}
_BODY = {"requestBody": {"required": True, "content": {"image/*": _BYTES, "multipart/form-data": _FORM}}}
_REFUSED = 400, 401, 408, 413, 415, 422, 500, 503, 504
_ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": Error} for code in _REFUSED}


def make_app(service: Service, model: str, device: str, token: str | None = None) -> FastAPI:
    """The application; /health reports ``model`` and ``device``. The detector's thread ends when it is closed.

    With a ``token``, whoever sends an image or reads the metrics must show it; the page and /health are for all.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.batcher.close()

    for_some = require_token(token)
    # Without the pages that load Swagger's files from elsewhere.
    app = FastAPI(title="CornerNet", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_middleware(DrainBody)
    app.add_middleware(Measured, metrics=service.metrics, headers=_HEADERS)
    app.mount("/page", StaticFiles(directory=_PAGE))
    _answer_errors(app)

    @app.post("/predict", responses=_ERRORS | {200: {"model": Prediction}}, openapi_extra=_BODY, dependencies=for_some)
    async def predict(
        request: Request,
        threshold: Annotated[float, Query(ge=0, le=1)] = service.detector.threshold,
        format: Literal["json", "picture"] = "json",
    ) -> Response:
        """Boxes of an image, given as the body or as a form's field; as JSON or as an annotated JPEG."""
        if format == "picture":
            return Response(await service.picture(request, threshold), media_type="image/jpeg")
        return JSONResponse(detections_as_json(await service.predict(request), threshold))

    @app.post(
        "/explain",
        responses=_ERRORS | {200: {"model": ExplainedPrediction}, 501: {"model": Error}},
        openapi_extra=_BODY,
        dependencies=for_some,
    )
    async def explain(request: Request) -> Response:
        """All boxes of an image, whatever their score, with their corners; and both corner heatmaps."""
        return JSONResponse(await service.explain(request))

    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health(response: Response) -> dict[str, Any]:
        """Whether the server is alive and ready, and what it serves; 503 if it is not ready."""
        detector, ready = service.detector, service.batcher.is_alive
        response.status_code = 200 if ready else 503
        colors = ["#{:02x}{:02x}{:02x}".format(*class_color(i)) for i in range(len(detector.class_names))]
        classes = [{"name": name, "color": color} for name, color in zip(detector.class_names, colors, strict=True)]
        about = {"model": model, "device": device, "threshold": detector.threshold, "explains": detector.can_explain}
        return {"live": True, "ready": ready, **about, "needs_token": token is not None, "classes": classes}

    @app.get("/metrics", response_class=Response, dependencies=for_some)
    async def metrics() -> Response:
        """What the server did, for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error is sent as JSON, with the fields of ``schema.Error``."""

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> JSONResponse:
        return _as_json(error.status, error.error, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = error.errors()
        given = [str(fault.get("input", "")) for fault in faults]
        fix = next((f"write {number}" for number in map(with_decimal_point, given) if number), "")
        return _as_json(422, InputError("; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in faults), fix=fix))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        fix = "there are POST /predict, POST /explain, GET /, /health, /metrics and /openapi.json"
        where = f"{request.method} {request.url.path}"
        return _as_json(error.status_code, InputError(error.detail, where, fix), error.headers)

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return _as_json(500, InputError(reason, "internal error", "please report it"))


def _as_json(status: int, error: InputError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    fields = {"error": str(error), "what": error.what, "where": error.where, "fix": error.fix}
    return JSONResponse(fields, status, headers)
