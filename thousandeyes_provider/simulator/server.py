"""HTTP server of the simulator. It passes requests to the service and sends the deliveries."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from thousandeyes_provider.simulator.operations import ReceivedRequest
from thousandeyes_provider.simulator.service import Service

if TYPE_CHECKING:
    from thousandeyes_provider.simulator.control import Control
    from thousandeyes_provider.simulator.responses import Delivery, SimulatedResponse

_PIECES = 20


async def serve(service: Service, control: Control, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Start serving in the running event loop.

    :param port: TCP port; 0 selects a free port.
    :returns: the runner, whose ``cleanup()`` stops the server, and the port.
    """

    async def respond(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        raw = request.rel_url.raw_path
        segments = tuple(unquote(part) for part in raw.split("/")[1:])
        if segments[:1] == ("control",):
            return _whole(control.handle(request.method, segments[1:], body, time.time()))
        base = f"{request.scheme}://{request.host}"
        if segments[:1] == ("v7",):
            base, segments = f"{base}/v7", segments[1:]
        call = ReceivedRequest(
            request.method,
            raw,
            segments,
            base,
            {name: ",".join(request.query.getall(name)) for name in request.query},
            request.headers.get("Authorization", ""),
            request.headers.get("User-Agent", ""),
            body,
        )
        return await _deliver(request, service.handle(call, time.time()))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])


def _whole(simulated: SimulatedResponse) -> web.Response:
    headers = dict(simulated.headers)
    if simulated.content_type is not None:
        headers["Content-Type"] = simulated.content_type
    response = web.Response(status=simulated.status, body=simulated.body, headers=headers)
    if simulated.content_type is None:
        response.headers.popall("Content-Type", None)
        response.headers["Content-Length"] = "0"
    return response


async def _deliver(request: web.Request, delivery: Delivery) -> web.StreamResponse:
    if delivery.first_byte_after:
        await asyncio.sleep(delivery.first_byte_after)
    if delivery.response is None:
        _cut(request)
        return web.Response()
    response = _whole(delivery.response)
    if delivery.cut_after is None and not delivery.body_takes:
        return response
    return await _in_pieces(request, delivery, delivery.response)


async def _in_pieces(
    request: web.Request, delivery: Delivery, simulated: SimulatedResponse
) -> web.StreamResponse:
    body = simulated.body or b" " * _PIECES
    response = web.StreamResponse(status=simulated.status, headers=dict(simulated.headers))
    response.content_type = (simulated.content_type or "text/plain").split(";")[0]
    response.content_length = len(body)
    await response.prepare(request)
    try:
        if delivery.cut_after is not None:
            await response.write(body[: delivery.cut_after])
            _close(request)
            return response
        size = max(len(body) // _PIECES, 1)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(delivery.body_takes / (len(pieces) - 1))
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        pass  # the client closed the connection
    return response


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _close(request: web.Request) -> None:
    """Close the connection after pending data is sent."""
    if request.transport is not None:
        request.transport.close()
