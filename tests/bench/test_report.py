"""What people and scripts are told of a run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.samples import failed, leg, result, sample, whole
from xinfer.bench import report, tables
from xinfer.bench.plan import Level
from xinfer.bench.plot import plot
from xinfer.bench.result import Round

PNG = b"\x89PNG\r\n\x1a\n"
A, B = leg(sample(ttft_s=0.11), engine=0.01), leg(sample(ttft_s=0.1), failed(), engine=0.02)
PAIRS = result(Round({"a": A, "b": B}), Round({"b": B, "a": A}))


def test_heading_names_both_servers_and_what_they_were_asked() -> None:
    first, second, third = report.heading(PAIRS, stream=True)
    assert (first, second) == ("A  http://a:1 (m)", "B  http://b:1 (m)")
    assert "prompts of 20 tokens, answers of 11" in third
    assert "medians of 2 pairs" in third


def test_table_of_a_comparison() -> None:
    table = tables.table(PAIRS)
    (row,) = table.rows
    cells = dict(zip(table.headers, row, strict=True))
    assert cells["STREAMS"] == "8"
    assert cells["A-B (MIN..MAX)"] == "10.0 (10.0..10.0)"
    assert (cells["ERRORS A"], cells["ERRORS B"]) == (None, "2 429 model_overloaded")
    assert "E2E P50 A" not in cells


def test_table_of_answers_in_one_piece_has_no_columns_for_streams() -> None:
    table = tables.table(result(Round({"a": leg(whole())}), level=Level("rate", 2.5)))
    assert table.headers[0] == "RATE/S"
    assert not any(header.startswith(("TTFT", "ITL")) for header in table.headers)
    assert "E2E P50" in table.headers


def test_cpu_table() -> None:
    table = tables.cpu_table(PAIRS)
    assert table
    assert table.headers == ["AT", "CPU OF", "US/CHUNK A", "US/CHUNK B", "MS/REQUEST A", "MS/REQUEST B"]
    assert table.rows == [["8 streams", "engine", "909.1", "1818.2", "10.0", "20.0"]]
    assert tables.cpu_table(result(Round({"a": leg(sample())}))) is None


def test_summary() -> None:
    tokens, requests, added = report.summary(PAIRS)
    assert tokens == requests.replace("Requests", "Tokens") == "Tokens per second, A over B: 0.952 at 8 streams."
    assert added == "A adds to the time to the first token, p50: 10.0 ms (+10.0 %) at 8 streams."
    assert report.summary(result(Round({"a": A}))) == []


def test_summary_of_answers_in_one_piece() -> None:
    found = result(Round({"a": leg(whole(took_s=0.3)), "b": leg(whole(took_s=0.2))}))
    assert report.summary(found)[-1].startswith("A adds to the time to the whole answer, p50: 100.0 ms (+50.0 %)")


def test_warnings() -> None:
    busy = leg(sample(late_s=0.5, completion_tokens=None), own_cpu_s=0.95)
    told = " ".join(report.warnings(result(Round({"a": busy}))))
    assert all(words in told for words in ("95% of a core", "behind schedule", "counts no tokens"))
    assert report.warnings(PAIRS) == []


def test_json_can_be_read_back() -> None:
    facts = json.loads(json.dumps(PAIRS.to_json()))
    (level,) = facts["levels"]
    assert (level["concurrency"], facts["targets"]["b"]) == (8, {"url": "http://b:1", "model": "m"})
    assert [each["order"] for each in level["rounds"]] == [["a", "b"], ["b", "a"]]
    assert level["versus"]["ttft_p50_added_ms"] == {"median": 10, "min": 10, "max": 10}
    assert level["rounds"][0]["pair"]["ttft_p50_added_percent"] == 10
    assert level["b"]["errors"] == {"429 model_overloaded": 2}
    assert set(level["a"]["itl_ms"]) == {"p50", "p90", "p99", "mean"}


def test_plot_is_a_png(tmp_path: Path) -> None:
    for name, found in (("pairs", PAIRS), ("whole", result(Round({"a": leg(whole())})))):
        plot(found, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(PNG)


def test_plot_of_nothing_but_errors_is_a_png_too(tmp_path: Path) -> None:
    plot(result(Round({"a": leg(failed())})), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
