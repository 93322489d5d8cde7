"""A broker is killed while messages arrive: what is lost, what comes twice, how long nothing is acknowledged.

``bin/dynoform bench kafka-pause`` makes the cluster, and says in the file ``BENCH_KAFKA`` where it is.
"""

import json
import os
import ssl
import time
from pathlib import Path

import httpx
import pytest

from dynoform.cli import running
from tests import kafka_client

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]
RATE, BEFORE, AFTER = 5000, 10, 20
"""Messages a second; seconds before and after the kill."""


def test_a_broker_killed_under_load() -> None:
    told = json.loads(Path(os.environ["BENCH_KAFKA"]).read_text())
    trust, client = ssl.create_default_context(cafile=told["certificate"]), kafka_client.settings(told["config"])
    headers = {"Accept": running.ACCEPT, "Authorization": f"Bearer {told['key']}"}
    with kafka_client.load(client, told["topic"], RATE) as found:
        time.sleep(BEFORE)
        # Answered once it is done, which may take as long as the data API waits.
        url = f"{told['url']}{told['cluster']}/induce-failure"
        httpx.post(url, headers=headers, verify=trust, timeout=60, trust_env=False).raise_for_status()
        time.sleep(AFTER)
    lost, twice = found.compare(client, told["topic"])
    result = {"pause": found.pause, "lost": lost, "twice": twice, "sent": len(found.acknowledged)}
    Path(os.environ["BENCH_RESULT"]).write_text(json.dumps(result))
    assert found.refused == 0
    assert len(found.acknowledged) > RATE * (BEFORE + AFTER) / 2
