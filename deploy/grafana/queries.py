"""Forms of PromQL that many panels share."""

from collections.abc import Mapping

QUANTILES = (0.5, 0.95, 0.99)


def rate(metric: str, *by: str, where: str = "") -> str:
    """Return the rate a second of a counter, summed by labels."""
    return f"{_by('sum', by)}(rate({metric}{_where(where)}[$__rate_interval]))"


def increase(metric: str, *by: str, where: str = "") -> str:
    """Return how much a counter grew in the time shown, summed by labels."""
    return f"{_by('sum', by)}(increase({metric}{_where(where)}[$__range]))"


def or_zero(expression: str, each: str = "") -> str:
    """Return the expression with 0 where it has no series: for each series of `each`, or at all."""
    return f"{expression} or 0 * {each}" if each else f"{expression} or on() vector(0)"


def quantiles(
    histogram: str, *by: str, where: str = "", of: tuple[float, ...] = QUANTILES
) -> Mapping[str, str]:
    """Return quantiles of a histogram by legend, by labels."""
    names = "".join(f" {{{{{label}}}}}" for label in by)
    labels = ", ".join([*by, "le"])
    buckets = f"sum by ({labels}) (rate({histogram}_bucket{_where(where)}[$__rate_interval]))"
    return {f"p{one * 100:g}{names}": f"histogram_quantile({one}, {buckets})" for one in of}


def mean(histogram: str, *by: str, where: str = "") -> str:
    """Return the mean of a histogram's observations, by labels."""
    return f"{rate(f'{histogram}_sum', *by, where=where)} / {rate(f'{histogram}_count', *by, where=where)}"


def _by(operation: str, labels: tuple[str, ...]) -> str:
    return f"{operation} by ({', '.join(labels)}) " if labels else operation


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""
