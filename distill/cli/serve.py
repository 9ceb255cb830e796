"""The command that answers over HTTP: thin, as in cli.py."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import BUNDLE, THREADS, abstain_option, opening_options
from distill.core.extras import require_extra
from distill.core.machine.runtimes import Provider, Runtime


@click.command()
@click.argument("bundle", type=BUNDLE)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 accepts other machines."
)
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--threads", default=0, show_default="CPUs available", type=THREADS, help="Number of workers of the model."
)
@click.option(
    "--max-queue",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Requests in progress; further ones get a 503.",
)
@click.option(
    "--max-mb",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.001, 1000),
    help="Largest request body in MB.",
)
@click.option(
    "--max-megapixels",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0.001, 100),
    help="Largest image in megapixels.",
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Seconds to receive a request and to answer it.",
)
@click.option(
    "--image-timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Seconds to decode one image; its process is ended after that.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Answer requests for this host too (the header Host); repeat for several, '*' for any. Always answered: "
    "localhost, 127.0.0.1, [::1], --host, and the address that a client connects to.",
)
@abstain_option
@opening_options
def serve(
    bundle: Path,
    host: str,
    port: int,
    threads: int,
    max_queue: int,
    max_mb: float,
    max_megapixels: float,
    timeout: float,
    image_timeout: float,
    allow_hosts: tuple[str, ...],
    abstain: float | None,
    provider: Provider,
    runtime: Runtime | None,
) -> None:
    """Serve a Bundle over HTTP.

    POST /v1/predict takes JSON or a form. Also serves GET /v1/bundle, /healthz, /readyz, /metrics and
    /openapi.json. Needs pip install 'distill[serve]'.

    \b
    Example:
      distill serve runs/bundle
      curl -F image=@meme.jpg -F text="WHO DID THIS" http://127.0.0.1:8000/v1/predict
    """
    require_extra("serve", "distill serve")
    from distill.runtime.opened import RunOptions
    from distill.runtime.serve import server
    from distill.runtime.serve.request import Limits

    limits = Limits(max_queue, max_mb, max_megapixels, timeout, image_timeout)
    options = RunOptions(threads, True, provider, runtime, abstain=abstain)
    server.serve(bundle, host, port, options, limits, allow_hosts)
