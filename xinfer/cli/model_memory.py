"""The command ``cal-model-mem``, as in Xinference: an estimate of one model's GPU memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from xinfer.cli.options import as_json, print_json

if TYPE_CHECKING:
    from xinfer.catalog.footprint import Footprint

_KV_DTYPES = {"8": "fp8", "16": "bfloat16", "32": "float32"}
_MIB = 1024**2


@click.command("cal-model-mem")
@click.option("-n", "--model-name", help="Name in the catalog; without it the KV cache is not counted.")
@click.option(
    "-s",
    "--size-in-billions",
    required=True,
    help="Billions of parameters, such as 8, 0.6 or 1_8.",
)
@click.option(
    "-f",
    "--model-format",
    required=True,
    help="Format of the weights, such as pytorch, fp8, awq or gptq.",
)
@click.option("-q", "--quantization", help="Such as none, Int4 or Int8.")
@click.option(
    "-c",
    "--context-length",
    type=click.IntRange(1),
    required=True,
    help="Tokens of prompt and output.",
)
@click.option(
    "--kv-cache-dtype",
    type=click.Choice(list(_KV_DTYPES)),
    default="16",
    show_default=True,
    help="Bits of a value.",
)
@as_json
def cal_model_mem(
    model_name: str | None,
    size_in_billions: str,
    model_format: str,
    quantization: str | None,
    context_length: int,
    kv_cache_dtype: str,
    as_json: bool,
) -> None:
    """Estimate the GPU memory that one model needs for one request. Needs no server.

    `xinfer models` shows the memory of all models of a family.
    """
    size = _footprint(model_name, size_in_billions, model_format, quantization)
    need = size.estimate(context_length, kv_dtype=_KV_DTYPES[kv_cache_dtype])
    mib = {
        "model_mem": _mib(size.weights_bytes),
        "kv_cache": _mib(need.kv_cache_bytes),
        "overhead": _mib(need.overhead_bytes),
        "total": _mib(need.total_bytes),
    }
    if as_json:
        facts = {"model_name": model_name, "context_length": context_length}
        print_json({**facts, **mib, "not_counted": list(need.unknown)})
        return
    # The lines of Xinference's command, whose MB and GB are MiB and GiB.
    click.echo(f"model_name: {model_name or '-'}")
    click.echo(f"kv_cache_dtype: {kv_cache_dtype}")
    click.echo(f"model size: {size_in_billions} B")
    click.echo(f"quant: {quantization or '-'}")
    click.echo(f"context: {context_length}")
    _print_usage(mib, need.unknown)


def _print_usage(mib: dict[str, int], not_counted: Sequence[str]) -> None:
    click.echo("gpu mem usage:")
    click.echo(f"  model mem: {mib['model_mem']} MB")
    click.echo(f"  kv_cache: {mib['kv_cache']} MB")
    click.echo(f"  overhead: {mib['overhead']} MB")
    click.echo(f"  total: {mib['total']} MB ({mib['total'] / 1024:.1f} GB)")
    for what in not_counted:
        click.echo(f"  not counted: {what}")


def _mib(count: int) -> int:
    return round(count / _MIB)


def _footprint(name: str | None, size: str, model_format: str, quantization: str | None) -> Footprint:
    from xinfer.catalog import Catalog
    from xinfer.catalog.footprint import Footprint, footprint_of
    from xinfer.catalog.weights import weights_by_size
    from xinfer.model_size import canonical_size

    # Without a name there is no config.json, and so no KV cache.
    if name is not None:
        return footprint_of(Catalog.load().select(name, size, model_format, quantization))
    try:
        billions = canonical_size(size)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--size-in-billions") from None
    return Footprint({}, weights_by_size(billions, model_format, quantization), context_length=0)
