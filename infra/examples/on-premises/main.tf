# A writer outside AWS with a static user, from known addresses only. Everything else is done by roles. The access key is
# made by hand (`aws iam create-access-key`), so that its secret is in no state file.
#
#   terraform init && terraform apply -var bucket=acme-postgres-backups -var 'addresses=["198.51.100.7/32"]'

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }
  }
}

variable "region" {
  description = "Region of the bucket."
  type        = string
  default     = "eu-central-1"
}

variable "bucket" {
  description = "Name of the bucket."
  type        = string
}

variable "addresses" {
  description = "Networks (CIDR) from which the writer's key works."
  type        = list(string)
}

variable "email" {
  description = "Who is told of alarms, or null."
  type        = string
  default     = null
}

provider "aws" {
  region = var.region
}

module "bucket" {
  source = "../../modules/bucket"

  name       = var.bucket
  pruner_arn = module.roles.role_arns["pruner"]
}

module "roles" {
  source = "../../modules/roles"

  bucket_arn = module.bucket.arn
}

module "alarms" {
  source = "../../modules/alarms"

  bucket_name     = module.bucket.name
  silence_minutes = 1560
  email           = var.email
}

resource "aws_iam_user" "writer" {
  name = "stonewal-writer"
}

resource "aws_iam_user_policy_attachment" "writer" {
  user       = aws_iam_user.writer.name
  policy_arn = module.roles.policy_arns["writer"]
}

data "aws_iam_policy_document" "addresses" {
  statement {
    effect    = "Deny"
    actions   = ["*"]
    resources = ["*"]

    condition {
      test     = "NotIpAddress"
      variable = "aws:SourceIp"
      values   = var.addresses
    }
  }
}

resource "aws_iam_user_policy" "addresses" {
  name   = "known-addresses"
  user   = aws_iam_user.writer.name
  policy = data.aws_iam_policy_document.addresses.json
}

output "bucket" {
  description = "For `s3.bucket`."
  value       = module.bucket.name
}

output "writer" {
  description = "User for whom `aws iam create-access-key` makes the writer's key."
  value       = aws_iam_user.writer.name
}
