output "name" {
  description = "Name of the bucket, for `s3.bucket`."
  value       = aws_s3_bucket.this.id
}

output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "region" {
  description = "Region of the bucket, for `s3.region`."
  value       = aws_s3_bucket.this.region
}
