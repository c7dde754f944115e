output "topic_arn" {
  description = "ARN of the topic that all alarms go to."
  value       = aws_sns_topic.this.arn
}
