# One bucket in one region, five roles, alarms by e-mail.
#
#   terraform init && terraform apply -var bucket=acme-postgres-backups -var email=dba@example.com
#   then `stonewal init` once, with credentials of the writer role.

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

variable "email" {
  description = "Who is told of alarms."
  type        = string
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

output "bucket" {
  description = "For `s3.bucket`."
  value       = module.bucket.name
}

output "roles" {
  description = "ARNs of the roles, by role."
  value       = module.roles.role_arns
}
