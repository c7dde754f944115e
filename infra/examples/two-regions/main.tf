# A bucket with WAL every second, its replica in another region with the same locks, and separate roles for each: whoever
# holds the writer of one region holds nothing in the other.
#
#   terraform init && terraform apply -var bucket=acme-postgres-backups -var email=dba@example.com

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

variable "replica_region" {
  description = "Region of the replica."
  type        = string
  default     = "eu-west-1"
}

variable "bucket" {
  description = "Name of the bucket; the replica's has `-replica` appended."
  type        = string
}

variable "email" {
  description = "Who is told of alarms."
  type        = string
}

provider "aws" {
  region = var.region
}

provider "aws" {
  alias  = "replica"
  region = var.replica_region
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

module "replica" {
  source    = "../../modules/bucket"
  providers = { aws = aws.replica }

  name       = "${var.bucket}-replica"
  pruner_arn = module.replica_roles.role_arns["pruner"]
}

module "replica_roles" {
  source    = "../../modules/roles"
  providers = { aws = aws.replica }

  name       = "stonewal-replica"
  bucket_arn = module.replica.arn
}

module "replication" {
  source = "../../modules/replication"

  source_name = module.bucket.name
  source_arn  = module.bucket.arn
  replica_arn = module.replica.arn
}

module "alarms" {
  source = "../../modules/alarms"

  bucket_name     = module.bucket.name
  silence_minutes = 10
  email           = var.email

  replica = {
    bucket_name = module.replica.name
    rule_id     = module.replication.rule_id
  }
}

module "replica_alarms" {
  source    = "../../modules/alarms"
  providers = { aws = aws.replica }

  name            = "stonewal-replica"
  bucket_name     = module.replica.name
  silence_minutes = 30
  email           = var.email
}

output "bucket" {
  description = "For `s3.bucket`."
  value       = module.bucket.name
}

output "replica" {
  description = "Name of the replica bucket."
  value       = module.replica.name
}

output "roles" {
  description = "ARNs of the roles, by region and role."

  value = {
    bucket  = module.roles.role_arns
    replica = module.replica_roles.role_arns
  }
}
