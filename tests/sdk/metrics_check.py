"""Reads /metrics with Prometheus' own Python parser and checks names, types and labels.

    metrics_check.py URL [ROOT_KEY]

Needs prometheus_client==0.26.0. Exits 0 if all is well; else prints what is not and exits 1.
"""

import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

HISTOGRAM = "histogram"
# Family: type, labels. The parser strips `_total` from a counter's name and keeps it in its samples' names.
FAMILIES = {
    "aiproxy_requests": ("counter", {"platform", "key_id", "client", "class"}),
    "aiproxy_retries": ("counter", {"platform", "reason"}),
    "aiproxy_refused": ("counter", {"code"}),
    "aiproxy_bytes": ("counter", {"platform", "direction"}),
    "aiproxy_tokens": ("counter", {"platform", "key_id", "client", "direction"}),
    "aiproxy_first_byte_seconds": (HISTOGRAM, {"platform"}),
    "aiproxy_request_seconds": (HISTOGRAM, {"platform"}),
    "aiproxy_key_state": ("gauge", {"platform", "key_id", "state"}),
    "aiproxy_in_flight": ("gauge", {"platform"}),
    "aiproxy_connections": ("gauge", {"side"}),
    "aiproxy_retry_memory_bytes": ("gauge", set()),
    "aiproxy_build_info": ("gauge", {"version"}),
    "aiproxy_process_cpu_seconds": ("counter", set()),
    "aiproxy_process_resident_memory_bytes": ("gauge", set()),
    "aiproxy_process_virtual_memory_bytes": ("gauge", set()),
    "aiproxy_process_open_fds": ("gauge", set()),
    "aiproxy_process_max_fds": ("gauge", set()),
    "aiproxy_process_start_time_seconds": ("gauge", set()),
}
VALUES = {
    "class": {"2xx", "3xx", "4xx", "5xx", "network", "timeout", "canceled"},
    "direction": {"in", "out"},
    "state": {"unknown", "healthy", "cooling", "unhealthy"},
    "side": {"client", "upstream", "idle_upstream"},
}


def fetch(url, root_key):
    """The text of the page, and what is wrong with its head."""
    request = urllib.request.Request(url)
    if root_key:
        request.add_header("Authorization", f"Bearer {root_key}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        content_type = answer.headers.get("Content-Type", "")
        problems = [] if content_type.startswith("text/plain; version=0.0.4") else [f"Content-Type: {content_type!r}"]
        return answer.read().decode("utf-8"), problems


def check(text):
    """Everything that is wrong with the text, as a list of sentences."""
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    problems = [f"{name}: twice" for name in set(names) if names.count(name) > 1]
    problems += [f"{name}: missing" for name in FAMILIES if name not in names]
    seen = set()
    for family in families:
        if family.name not in FAMILIES:
            problems.append(f"{family.name}: unknown family")
            continue
        kind, labels = FAMILIES[family.name]
        if family.type != kind:
            problems.append(f"{family.name}: type {family.type}, not {kind}")
        if not family.documentation:
            problems.append(f"{family.name}: no HELP")
        for sample in family.samples:
            problems += check_sample(sample, labels, seen)
        if kind == HISTOGRAM:
            problems += check_histogram(family)
    return problems + check_key_states(families)


def check_sample(sample, labels, seen):
    """A sample has its family's labels, known values and no negative number, and appears once."""
    problems = []
    if set(sample.labels) - {"le"} != labels:
        problems.append(f"{sample.name}: labels {sorted(sample.labels)}, not {sorted(labels)}")
    for label, values in VALUES.items():
        if sample.labels.get(label, next(iter(values))) not in values:
            problems.append(f"{sample.name}: {label}={sample.labels[label]!r}")
    if not sample.value >= 0:
        problems.append(f"{sample.name}: {sample.value}")
    series = (sample.name, tuple(sorted(sample.labels.items())))
    if series in seen:
        problems.append(f"{series}: twice")
    seen.add(series)
    return problems


def check_histogram(family):
    """Buckets grow with their bounds up to the count, for each platform."""
    problems = []
    for platform in {sample.labels["platform"] for sample in family.samples}:
        samples = [sample for sample in family.samples if sample.labels["platform"] == platform]
        buckets = [(float(sample.labels["le"]), sample.value) for sample in samples if "le" in sample.labels]
        counts = [sample.value for sample in samples if sample.name == family.name + "_count"]
        sums = [sample.value for sample in samples if sample.name == family.name + "_sum"]
        if buckets != sorted(buckets) or [value for _, value in buckets] != sorted(value for _, value in buckets):
            problems.append(f"{family.name}: buckets of {platform!r} do not grow")
        if not buckets or buckets[-1][0] != float("inf") or counts != [buckets[-1][1]] or len(sums) != 1:
            problems.append(f"{family.name}: the end, count or sum of {platform!r} does not fit")
    return problems


def check_key_states(families):
    """Each key is in exactly one state."""
    states = {}
    for family in families:
        if family.name == "aiproxy_key_state":
            for sample in family.samples:
                key = (sample.labels["platform"], sample.labels["key_id"])
                states.setdefault(key, []).append(sample.value)
    return [f"aiproxy_key_state: {key} has {values}" for key, values in states.items() if sorted(values) != [0, 0, 0, 1]]


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    text, problems = fetch(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else None)
    problems += check(text)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
