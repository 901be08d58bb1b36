"""Furnishes a moto server: users, a role and images, and then its authorization; prints what to export.

Called by scripts/moto with the server's address.
"""

import json
import sys
import urllib.request

import boto3

url = sys.argv[1]


def client(service, region="us-east-1"):
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id="AKIAFIRST",
        aws_secret_access_key="first",
    )


def policy(*actions):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


iam = client("iam")


def user(name, *actions):
    iam.create_user(UserName=name)
    if actions:
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy(*actions))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


pull = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:ListImages")
puller = user("puller", *pull)
nobody = user("nobody")
taker = user("taker", "sts:AssumeRole")
trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
role = iam.create_role(
    RoleName="depd",
    AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
)["Role"]["Arn"]
iam.put_role_policy(RoleName="depd", PolicyName="all", PolicyDocument=policy(*pull))

ecr = client("ecr", "eu-west-1")
ecr.create_repository(repositoryName="shop/web")
for tag in ("1.2.3", "1.2.4", "2.0.0"):
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "sha256:" + tag.replace(".", "").rjust(64, "0"),
            "size": 2,
        },
        "layers": [],
    }
    ecr.put_image(repositoryName="shop/web", imageManifest=json.dumps(manifest), imageTag=tag)
account = client("sts").get_caller_identity()["Account"]

# From now on every request is checked, as with INITIAL_NO_AUTH_ACTION_COUNT=0 from the start.
headers = {"Content-Type": "text/plain"}
request = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", headers, method="POST")
urllib.request.urlopen(request).read()

for name, value in {
    "MOTO": url,
    "MOTO_ACCOUNT": account,
    "MOTO_PULLER": " ".join(puller),
    "MOTO_NOBODY": " ".join(nobody),
    "MOTO_TAKER": " ".join(taker),
    "MOTO_ROLE": role,
}.items():
    print(f"export DEPD_TEST_{name}='{value}'")
