output "role_arns" {
  description = "ARNs of the roles, by role."
  value       = { for role in local.roles : role => aws_iam_role.this[role].arn }
}

output "policy_arns" {
  description = "ARNs of the policies, by role, for identities that exist already."
  value       = { for role in local.roles : role => aws_iam_policy.this[role].arn }
}
