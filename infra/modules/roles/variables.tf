variable "name" {
  description = "What names of roles and policies begin with."
  type        = string
  default     = "stonewal"
}

variable "bucket_arn" {
  description = "ARN of the bucket."
  type        = string
}

variable "prefix" {
  description = "Prefix of the repository in the bucket, with its final slash; empty for the whole bucket."
  type        = string
  default     = ""

  validation {
    condition     = var.prefix == "" || endswith(var.prefix, "/")
    error_message = "A prefix ends with a slash."
  }
}

variable "trusted" {
  description = "Who may assume which role: lists of ARNs of principals, by role. A role without an entry trusts its account, whose administrators then decide by `sts:AssumeRole`."
  type        = map(list(string))
  default     = {}

  validation {
    condition     = alltrue([for role in keys(var.trusted) : contains(["writer", "reader", "retainer", "pruner", "auditor"], role)])
    error_message = "The roles are writer, reader, retainer, pruner and auditor."
  }
}

variable "trust_policies" {
  description = "Whole trust policies (JSON) by role, where a list of principals will not do: EC2, ECS, IRSA, Roles Anywhere."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for role in keys(var.trust_policies) : contains(["writer", "reader", "retainer", "pruner", "auditor"], role)])
    error_message = "The roles are writer, reader, retainer, pruner and auditor."
  }
}

variable "kms_key_arn" {
  description = "KMS key of the bucket, or null."
  type        = string
  default     = null
}

variable "reader_kms_key_arn" {
  description = "KMS key that is a recipient of data keys (`stonewal keys add --kms`), or null: the reader may use it."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
