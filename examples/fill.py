#!/usr/bin/env python3
"""Fills a key of an Undercurrent daemon by ticket: fill.py URL KEY COMMAND [ARGUMENT...]

Exit code 0: the value was there, or was filled; 6: the key went stale meanwhile, nothing was put.
"""
import json, subprocess, sys
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

url, key, command = sys.argv[1], sys.argv[2], sys.argv[3:]
address = f"{url}/v1/context?key={quote(key, safe='')}"
http = build_opener(ProxyHandler({}))  # the daemon is on this machine
try:
    sys.stdout.buffer.write(http.open(address).read())
    sys.exit(0)
except HTTPError as miss:
    ticket = json.load(miss).get("ticket")
    if ticket is None:
        sys.exit(f"{key} can not be filled: the daemon answers {miss.code}")
# The ticket is older than what is read now, so a change from here on is noticed.
value = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
try:
    http.open(Request(address, value, {"Undercurrent-Ticket": ticket}, method="PUT")).read()
except HTTPError as refusal:
    print(json.load(refusal)["message"], file=sys.stderr)
    sys.exit(6 if refusal.code == 409 else 1)
sys.stdout.buffer.write(value)
