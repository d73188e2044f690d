"""The simulator with TLS. It takes the arguments of ``python -m thousandeyes_provider.simulator``."""

from __future__ import annotations

import functools
import os
import ssl
import sys

from aiohttp import web

from thousandeyes_provider.simulator.__main__ import main

if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    home = os.environ["BENCH_HOME"]
    context.load_cert_chain(f"{home}/certificate.pem", f"{home}/key.pem")
    web.TCPSite = functools.partial(web.TCPSite, ssl_context=context)  # type: ignore[assignment,misc]
    sys.exit(main())
