variable "source_name" {
  description = "Name of the bucket that is copied."
  type        = string
}

variable "source_arn" {
  description = "ARN of the bucket that is copied."
  type        = string
}

variable "replica_arn" {
  description = "ARN of the bucket in the other region, made by the bucket module there. It needs Object Lock as well: a lock travels with its object."
  type        = string
}

variable "source_kms_key_arn" {
  description = "KMS key of the source bucket, or null."
  type        = string
  default     = null
}

variable "replica_kms_key_arn" {
  description = "KMS key of the replica bucket; needed when the source has one."
  type        = string
  default     = null
}

variable "storage_class" {
  description = "Storage class of the copies. Classes that must be thawed make restores from the replica slow."
  type        = string
  default     = "STANDARD"
}

variable "name" {
  description = "Name of the role that S3 assumes."
  type        = string
  default     = "stonewal-replication"
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
