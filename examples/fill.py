"""Prints a key, and fills it with the output of a command when nobody has: fill.py KEY COMMAND...

A miss answers with a ticket, the place in the one order at which the key was missed. The value is put with it; if the key
was made stale while the command ran, the daemon refuses, since the command may have read what was there before.
"""
import json, os, subprocess, sys
from urllib import error, parse, request

URL = os.environ.get("UNDERCURRENT_URL", "http://127.0.0.1:7433")
DIRECT = request.build_opener(request.ProxyHandler({}))


def ask(method, key, body=None, **headers):
    url = f"{URL}/v1/context?{parse.urlencode({'key': key})}"
    try:
        with DIRECT.open(request.Request(url, body, headers, method=method)) as answer:
            return answer.status, answer.read()
    except error.HTTPError as refused:
        return refused.code, refused.read()


key, command = sys.argv[1], sys.argv[2:]
status, value = ask("GET", key)
if ticket := status == 404 and json.loads(value).get("ticket"):
    value = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    status, answer = ask("PUT", key, value, **{"undercurrent-ticket": ticket})
    if status != 200:
        sys.exit(f"not kept: {json.loads(answer)['message']}")
sys.stdout.buffer.write(value)
