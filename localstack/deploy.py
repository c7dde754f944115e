#!/usr/bin/env python3
"""Deploy a CloudFormation template into LocalStack, or any endpoint, and print its outputs as NAME=VALUE lines.

    localstack/deploy.py ENDPOINT REGION STACK TEMPLATE [Parameter=Value ...]

Needs boto3. In host mode, run it with the interpreter that localstack-up.sh installed; DIR/env names it.
"""

import sys

import boto3
from botocore.config import Config


def main() -> int:
    if len(sys.argv) < 5 or any("=" not in word for word in sys.argv[5:]):
        print(__doc__, file=sys.stderr)
        return 2
    endpoint, region, stack, template = sys.argv[1:5]
    given = [dict(zip(("ParameterKey", "ParameterValue"), word.split("=", 1))) for word in sys.argv[5:]]
    client = boto3.client(
        "cloudformation",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}, read_timeout=120),
    )
    with open(template, encoding="utf-8") as file:
        body = file.read()
    client.create_stack(StackName=stack, TemplateBody=body, Parameters=given, Capabilities=["CAPABILITY_IAM"])
    try:
        waiter = client.get_waiter("stack_create_complete")
        waiter.wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    except Exception as error:  # whatever it was, the stack's own words say more
        print(f"{stack}: {error}", file=sys.stderr)
        for event in client.describe_stack_events(StackName=stack)["StackEvents"]:
            if "FAILED" in event["ResourceStatus"]:
                print(event["LogicalResourceId"], event.get("ResourceStatusReason"), file=sys.stderr)
        return 1
    for output in client.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", []):
        print(f"{output['OutputKey']}={output['OutputValue']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
