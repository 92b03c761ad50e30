"""Figures in the text format of Prometheus, version 0.0.4."""

from collections.abc import Iterable, Iterator, Mapping

from virtumancer.contracts import Distribution, Figure, FigureKind

MEDIA_TYPE = "text/plain; charset=utf-8"


def text_of(figures: Iterable[Figure]) -> str:
    """Return all figures, each with its description and kind."""
    return "".join(f"{line}\n" for figure in figures for line in _lines(figure))


def _lines(figure: Figure) -> Iterator[str]:
    name = "_".join(part for part in ("virtumancer", figure.name, figure.unit) if part)
    if figure.kind is FigureKind.COUNTER:
        name += "_total"
    yield f"# HELP {name} {_escaped(figure.description)}"
    yield f"# TYPE {name} {figure.kind}"
    for value in figure.values:
        if value.distribution is None:
            yield f"{name}{_labels(value.labels)} {_number(value.value)}"
        else:
            yield from _buckets(name, value.labels, value.distribution)


def _buckets(name: str, labels: Mapping[str, str], of: Distribution) -> Iterator[str]:
    for bound, count in of.buckets:
        yield f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {count}"
    yield f"{name}_bucket{_labels({**labels, 'le': '+Inf'})} {of.count}"
    yield f"{name}_sum{_labels(labels)} {_number(of.total)}"
    yield f"{name}_count{_labels(labels)} {of.count}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    quoted = (f'{name}="{_escaped(value).replace(chr(34), chr(92) + chr(34))}"' for name, value in labels.items())
    return "{" + ",".join(quoted) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
