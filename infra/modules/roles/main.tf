# One role per task, each with the actions that `src/store/roles.rs` lists and no others. A test compares them.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  roles   = toset(["writer", "reader", "retainer", "pruner", "auditor"])
  account = "arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:root"

  # Only these touch contents, and what KMS does for them is bound to S3.
  kms_actions = var.kms_key_arn == null ? {} : {
    writer  = ["kms:Decrypt", "kms:GenerateDataKey"]
    reader  = ["kms:Decrypt"]
    auditor = ["kms:Decrypt"]
  }
}

data "aws_iam_policy_document" "trust" {
  for_each = local.roles

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = lookup(var.trusted, each.key, [local.account])
    }
  }
}

resource "aws_iam_policy" "this" {
  for_each = local.roles

  name        = "${var.name}-${each.key}"
  description = "stonewal ${each.key}"
  tags        = var.tags

  policy = templatefile("${path.module}/../../policies/${each.key}.json", {
    bucket_arn = var.bucket_arn
    prefix     = var.prefix
  })
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name               = "${var.name}-${each.key}"
  description        = "stonewal ${each.key}"
  assume_role_policy = lookup(var.trust_policies, each.key, data.aws_iam_policy_document.trust[each.key].json)
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = local.roles

  role       = aws_iam_role.this[each.key].name
  policy_arn = aws_iam_policy.this[each.key].arn
}

data "aws_iam_policy_document" "kms" {
  for_each = local.kms_actions

  statement {
    actions   = each.value
    resources = [var.kms_key_arn]

    condition {
      test     = "StringLike"
      variable = "kms:ViaService"
      values   = ["s3.*.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "recipient" {
  count = var.reader_kms_key_arn == null ? 0 : 1

  statement {
    actions = ["kms:DeriveSharedSecret"]
    # A multi-Region key has one id: its replicas open the same backups where its own region is lost.
    resources = [replace(var.reader_kms_key_arn, "/^(arn:[^:]+:kms:)[^:]+:/", "$${1}*:")]
  }
}

resource "aws_iam_role_policy" "recipient" {
  count = var.reader_kms_key_arn == null ? 0 : 1

  name   = "recipient"
  role   = aws_iam_role.this["reader"].name
  policy = data.aws_iam_policy_document.recipient[0].json
}

resource "aws_iam_role_policy" "kms" {
  for_each = local.kms_actions

  name   = "kms"
  role   = aws_iam_role.this[each.key].name
  policy = data.aws_iam_policy_document.kms[each.key].json
}
