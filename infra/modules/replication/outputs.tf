output "role_arn" {
  description = "ARN of the role that S3 assumes to copy."
  value       = aws_iam_role.this.arn
}

output "rule_id" {
  description = "Id of the rule, a dimension of the replication metrics."
  value       = "stonewal-replica"
}
