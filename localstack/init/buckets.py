#!/usr/bin/env python3
"""Make the buckets that the examples of README.md use, in two regions, each with Object Lock. Safe to repeat.

LocalStack runs it when it is ready: in Docker as a hook (/etc/localstack/init/ready.d), in host mode from
localstack-up.sh.
"""

import os

import boto3

BUCKETS = {"stonewal": "us-east-1", "stonewal-replica": "eu-west-1"}


def main() -> None:
    endpoint = os.environ.get("STONEWAL_LOCALSTACK", "http://localhost:4566")
    for bucket, region in BUCKETS.items():
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        if bucket not in {known["Name"] for known in s3.list_buckets()["Buckets"]}:
            # The first region has no name of its own in this API.
            place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True, **place)
        print(f"{bucket}: {region}, Object Lock")


main()
