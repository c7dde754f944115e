variable "name" {
  description = "What names of alarms and rules begin with."
  type        = string
  default     = "stonewal"
}

variable "bucket_name" {
  description = "Name of the bucket."
  type        = string
}

variable "silence_minutes" {
  description = "So long without a new object is an alarm. With `wal stream` a few minutes; with nightly dumps only, 1560 (26 hours)."
  type        = number
  default     = 15

  validation {
    condition     = var.silence_minutes >= 5 && var.silence_minutes <= 1440 * 7
    error_message = "5 minutes to 7 days, the longest that CloudWatch looks back."
  }
}

variable "refusals_max" {
  description = "More answers of the 4xx kind than this in five minutes are an alarm."
  type        = number
  default     = 100
}

variable "replica" {
  description = "Replication to watch: the replica bucket's name and the id of the rule; null for none."
  type = object({
    bucket_name = string
    rule_id     = string
  })
  default = null
}

variable "email" {
  description = "Address that is told, after it has confirmed; null to subscribe by other means."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
