variable "name" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "3 to 63 lower-case letters, digits and hyphens; dots break TLS host names."
  }
}

variable "lock_days_max" {
  description = "Nobody can lock an object for longer than this many days: bounds what a stolen writer can make you pay for. Keep it above the longest retention you plan, best by an eighth of lock.retain: copies of keys are locked for so much longer."
  type        = number
  default     = 400

  validation {
    condition     = var.lock_days_max >= 1 && var.lock_days_max <= 36500
    error_message = "Object Lock knows 1 to 36500 days."
  }
}

variable "noncurrent_days" {
  description = "Versions that were written over or hidden are removed so many days later, and never before their locks end. Restores use such versions while they exist: leave time to notice an attack."
  type        = number
  default     = 90

  validation {
    condition     = var.noncurrent_days >= 30
    error_message = "At least 30 days."
  }
}

variable "abandoned_upload_days" {
  description = "Unfinished multipart uploads are removed so many days after they began. stonewal never makes any."
  type        = number
  default     = 7
}

variable "kms_key_arn" {
  description = "KMS key for encryption at rest; null for SSE-S3. stonewal seals everything before it leaves the host either way."
  type        = string
  default     = null
}

variable "pruner_arn" {
  description = "ARN of the only role that may delete versions whose locks have ended; null denies deletion to everyone."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
