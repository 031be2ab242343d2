"""Sends events through splunk-hec-handler: HOST PORT TOKEN INDEX SOURCETYPE COUNT.

One JSON line an event: {"ok": true}, or {"error": status} when the handler raises.
"""

import json
import logging
import sys

import requests
from splunk_hec_handler import SplunkHecHandler

host, port, token, index, sourcetype, count = sys.argv[1:]
handler = SplunkHecHandler(
    host, token, port=int(port), proto="http", index=index, sourcetype=sourcetype, source="a handler", hostname="py.example"
)
logger = logging.getLogger("client")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
logger.propagate = False
for number in range(int(count)):
    try:
        logger.info({"number": number, "text": "Zoë says \"7 € \\ 8\"", "fields": {"alert_id": f"py-{number}"}})
        print(json.dumps({"ok": True}))
    except requests.exceptions.HTTPError as error:
        print(json.dumps({"error": error.response.status_code}))
