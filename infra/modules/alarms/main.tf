# Who notices: a topic, metrics of the bucket, and events about attempts on its settings, its markers and its locks.
# Settings and locks are seen through CloudTrail: the account needs a trail, and for locks one with S3 data events.

data "aws_caller_identity" "this" {}

resource "aws_sns_topic" "this" {
  name = "${var.name}-alarms"
  tags = var.tags
}

resource "aws_sns_topic_subscription" "email" {
  count = var.email == null ? 0 : 1

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = var.email
}

data "aws_iam_policy_document" "topic" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.this.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  arn    = aws_sns_topic.this.arn
  policy = data.aws_iam_policy_document.topic.json
}

# Request metrics, which the alarms below read; charged per bucket.
resource "aws_s3_bucket_metric" "all" {
  bucket = var.bucket_name
  name   = "stonewal"
}

locals {
  dimensions = {
    BucketName = var.bucket_name
    FilterId   = aws_s3_bucket_metric.all.name
  }

  # CloudWatch looks back at most one day in periods under an hour, and seven days in periods of an hour.
  silence_period = var.silence_minutes <= 1440 ? 300 : 3600
}

resource "aws_cloudwatch_metric_alarm" "silence" {
  alarm_name          = "${var.name}-silence"
  alarm_description   = "No new object in ${var.bucket_name} for ${var.silence_minutes} minutes: nothing is backed up."
  namespace           = "AWS/S3"
  metric_name         = "PutRequests"
  dimensions          = local.dimensions
  statistic           = "Sum"
  period              = local.silence_period
  evaluation_periods  = ceil(var.silence_minutes * 60 / local.silence_period)
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  ok_actions          = [aws_sns_topic.this.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "refusals" {
  alarm_name          = "${var.name}-refusals"
  alarm_description   = "Many requests to ${var.bucket_name} are refused: wrong rights, or someone tries doors."
  namespace           = "AWS/S3"
  metric_name         = "4xxErrors"
  dimensions          = local.dimensions
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.refusals_max
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "replica_lag" {
  count = var.replica == null ? 0 : 1

  alarm_name          = "${var.name}-replica-lag"
  alarm_description   = "Copies of ${var.bucket_name} are more than 15 minutes behind."
  namespace           = "AWS/S3"
  metric_name         = "ReplicationLatency"
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 900
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  tags                = var.tags

  dimensions = {
    SourceBucket      = var.bucket_name
    DestinationBucket = var.replica.bucket_name
    RuleId            = var.replica.rule_id
  }
}

locals {
  # Event patterns by name. Nobody lays delete markers here, and settings do not change by themselves.
  events = {
    markers = {
      source      = ["aws.s3"]
      detail-type = ["Object Deleted"]
      detail = {
        bucket        = { name = [var.bucket_name] }
        deletion-type = ["Delete Marker Created"]
      }
    }

    # Lifecycle, versioning, Object Lock, policy, replication, encryption, public access, the bucket itself.
    settings = {
      source      = ["aws.s3"]
      detail-type = ["AWS API Call via CloudTrail"]
      detail = {
        eventSource       = ["s3.amazonaws.com"]
        eventName         = [{ prefix = "PutBucket" }, { prefix = "DeleteBucket" }]
        requestParameters = { bucketName = [var.bucket_name] }
      }
    }

    # Refused attempts on locks and versions, a bypass among them: the bucket's policy denies it to everyone.
    locks = {
      source      = ["aws.s3"]
      detail-type = ["AWS API Call via CloudTrail"]
      detail = {
        eventSource       = ["s3.amazonaws.com"]
        eventName         = ["DeleteObject", "DeleteObjects", "PutObjectRetention", "PutObjectLegalHold"]
        errorCode         = [{ exists = true }]
        requestParameters = { bucketName = [var.bucket_name] }
      }
    }
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.events

  name          = "${var.name}-${each.key}"
  description   = "stonewal: ${each.key} of ${var.bucket_name}"
  event_pattern = jsonencode(each.value)
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.events

  rule = aws_cloudwatch_event_rule.this[each.key].name
  arn  = aws_sns_topic.this.arn
}
