"""Signs requests as AWS's own library does: a JSON list on standard input, one header a line on standard output."""

import datetime
import json
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for wanted in json.load(sys.stdin):
    at = datetime.datetime.fromtimestamp(wanted["at"], datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True, at=at: at
    query = "?" + wanted["query"] if wanted["query"] else ""
    request = AWSRequest(
        method=wanted["method"],
        url="https://" + wanted["host"] + wanted["path"] + query,
        headers=dict(wanted["headers"]),
        data=wanted["body"].encode(),
    )
    credentials = Credentials(wanted["id"], wanted["key"], wanted["token"])
    botocore.auth.SigV4Auth(credentials, wanted["service"], wanted["region"]).add_auth(request)
    print(request.headers["Authorization"])
