"""The figures of a server are where Prometheus looks for them, and as it reads them."""

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import virtumancer_exporter
from virtumancer_exporter.text import text_of

from virtumancer.contracts import Distribution, Figure, FigureKind, FigureValue
from virtumancer.testing.suites import PluginSuite

LINE = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\]|\\.)*"(,[a-z]+="(?:[^"\\]|\\.)*")*\})? -?[0-9.e+-]+')


class TestExporter(PluginSuite):
    @pytest.fixture
    def plugin(self) -> ModuleType:
        return virtumancer_exporter


@pytest.fixture
def virtumancer_plugins() -> Mapping[str, ModuleType]:
    return {"scraped": virtumancer_exporter}


async def test_a_scraper_finds_the_figures_of_the_server(virtumancer_client: Any) -> None:
    await virtumancer_client.get("/api/v1/hosts/kvm1/vms")

    answer = await virtumancer_client.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    asked = 'method="GET",route="/api/v1/hosts/{host}/vms",status="200"'
    assert f"virtumancer_request_duration_seconds_count{{{asked}}} 1" in lines
    assert 'virtumancer_host_state{host="kvm1",state="connected"} 1' in lines
    assert all(line.startswith(("# HELP ", "# TYPE ")) or LINE.fullmatch(line) for line in lines)


def test_names_and_labels_are_as_prometheus_has_them() -> None:
    counter = Figure(
        name="things",
        kind=FigureKind.COUNTER,
        description="Things.\nMany.",
        values=(FigureValue({"name": 'a"b\\c\nd'}, 2.5),),
    )
    histogram = Figure(
        name="lag",
        kind=FigureKind.HISTOGRAM,
        unit="seconds",
        description="Lag.",
        values=(FigureValue(distribution=Distribution(3, 1.5, ((0.1, 1), (1.0, 2)))),),
    )

    assert text_of([counter, histogram]).splitlines() == [
        "# HELP virtumancer_things_total Things.\\nMany.",
        "# TYPE virtumancer_things_total counter",
        'virtumancer_things_total{name="a\\"b\\\\c\\nd"} 2.5',
        "# HELP virtumancer_lag_seconds Lag.",
        "# TYPE virtumancer_lag_seconds histogram",
        'virtumancer_lag_seconds_bucket{le="0.1"} 1',
        'virtumancer_lag_seconds_bucket{le="1"} 2',
        'virtumancer_lag_seconds_bucket{le="+Inf"} 3',
        "virtumancer_lag_seconds_sum 1.5",
        "virtumancer_lag_seconds_count 3",
    ]
