use proptest::prelude::*;

use super::*;

static BUILTIN: std::sync::LazyLock<ScopeModel> = std::sync::LazyLock::new(|| ScopeModel::builtin().unwrap());

fn check(read: &[&str], write: &[&str], admin: &[&str], unknown: &[&str]) {
    for (names, tier) in
        [(read, ScopeTier::Read), (write, ScopeTier::Write), (admin, ScopeTier::Admin), (unknown, ScopeTier::Unknown)]
    {
        for name in names {
            assert_eq!(BUILTIN.tier(name), tier, "{name}");
        }
    }
}

/// RFC 6749 §3.3 names nothing; `OpenID` Connect Core §5.4 and §11 do.
#[test]
fn plain_oauth_scopes() {
    check(
        &["openid", "profile", "offline_access", "orders:read", "read:orders", "orders.read", "admin:read", "read_api"],
        &["orders:write", "orders.delete", "orders:create"],
        &["admin", "orders:admin", "*", "orders:*", "admin:write"],
        &["", "orders", "access_as_user", "administer-not", "readme", "überall", "\u{0}", ":", "a:", ":A"],
    );
}

/// GitHub, Scopes for OAuth apps; Permissions required for fine-grained personal access tokens.
#[test]
fn github() {
    check(
        &[
            "read:user",
            "user:email",
            "read:org",
            "read:project",
            "read:packages",
            "read:gpg_key",
            "read:audit_log",
            "read:enterprise",
            "read:repo_hook",
            "contents:read",
            "metadata=read",
            "administration:read",
            "members=read",
        ],
        &[
            "repo",
            "repo:status",
            "public_repo",
            "repo_deployment",
            "repo:invite",
            "security_events",
            "write:org",
            "write:repo_hook",
            "gist",
            "notifications",
            "user",
            "user:follow",
            "project",
            "workflow",
            "codespace",
            "write:packages",
            "delete:packages",
            "write:public_key",
            "contents:write",
            "pull_requests=write",
            "secrets:write",
        ],
        &[
            "admin:repo_hook",
            "admin:org",
            "admin:public_key",
            "admin:org_hook",
            "admin:gpg_key",
            "admin:enterprise",
            "site_admin",
            "delete_repo",
            "manage_runners:enterprise",
            "manage_billing:enterprise",
            "administration:write",
            "organization_administration=write",
            "members:write",
            "repository_projects:admin",
        ],
        &["(no scope)"],
    );
}

/// Microsoft Graph permissions reference; Microsoft Entra built-in roles.
#[test]
fn entra() {
    check(
        &[
            "User.Read",
            "User.Read.All",
            "User.ReadBasic.All",
            "Directory.Read.All",
            "AuditLog.Read.All",
            "User.Export.All",
            "https://graph.microsoft.com/Mail.Read",
            "Directory Readers",
            "Global Reader",
            "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
            "F2EF992C-3AFB-46B9-B7CF-A126EE74C451",
        ],
        &[
            "Mail.ReadWrite",
            "Mail.Send",
            "Files.ReadWrite.All",
            "Group.ReadWrite.All",
            "Group.Create",
            "User.Invite.All",
            "Sites.Manage.All",
            "IMAP.AccessAsUser.All",
            "Directory Writers",
            "Contributor",
            "9360feb5-f418-4baa-8175-e2a00bac4301",
            "95e79109-95c0-4d8e-aee3-d01accf2d47b",
        ],
        &[
            "RoleManagement.ReadWrite.Directory",
            "AppRoleAssignment.ReadWrite.All",
            "Application.ReadWrite.All",
            "Directory.ReadWrite.All",
            "Policy.ReadWrite.ConditionalAccess",
            "Sites.FullControl.All",
            "full_access_as_app",
            "user_impersonation",
            "Exchange.ManageAsApp",
            "Global Administrator",
            "Privileged Role Administrator",
            "User Access Administrator",
            "Owner",
            "62e90394-69f5-4237-9190-012177145e10",
            "e8611ab8-c189-46e8-94e1-60213ab1f814",
            "fe930be7-5e62-47db-91af-98c3a49a38b1",
        ],
        &[
            "Sites.Selected",
            "https://graph.microsoft.com/.default",
            "00000000-0000-0000-0000-000000000000",
            "62e90394-69f5-4237-9190-012177145e1",
        ],
    );
}

/// Okta, OAuth 2.0 scopes.
#[test]
fn okta() {
    check(
        &[
            "okta.users.read",
            "okta.users.read.self",
            "okta.apps.read",
            "okta.logs.read",
            "okta.apiTokens.read",
            "okta.myAccount.profile.read",
            "groups",
        ],
        &[
            "okta.users.manage.self",
            "okta.myAccount.profile.manage",
            "okta.myAccount.email.manage",
            "okta.workflows.invoke.manage",
        ],
        &[
            "okta.users.manage",
            "okta.apps.manage",
            "okta.roles.manage",
            "okta.apiTokens.manage",
            "okta.clients.register",
            "okta.universalLogout.manage",
        ],
        &["okta"],
    );
}

/// Cloudflare, API token permissions: `Write` in the API, `Edit` on the dashboard.
#[test]
fn cloudflare() {
    check(
        &[
            "Zone Read",
            "DNS Read",
            "Workers Tail Read",
            "Account Settings Read",
            "Billing Read",
            "API Tokens Read",
            "Access: Apps and Policies Read",
            "Access: Organizations, Identity Providers, and Groups Read",
        ],
        &[
            "Zone Write",
            "Logs Edit",
            "Workers Scripts Write",
            "Workers KV Storage Write",
            "Cache Purge",
            "Load Balancing: Monitors and Pools Write",
            "Access: Apps and Policies Revoke",
            "#dns_records:edit",
        ],
        &[
            "API Tokens Write",
            "API Tokens Edit",
            "Account API Tokens Write",
            "Memberships Write",
            "Account Settings Write",
            "Access: Apps and Policies Write",
            "Access: Service Tokens Edit",
            "Access: Organizations, Identity Providers, and Groups Edit",
            "Super Administrator - All Privileges",
            "Administrator",
        ],
        &["Cloudflare"],
    );
}

/// AWS managed policy reference; IAM JSON policy elements: Action.
#[test]
fn aws() {
    check(
        &[
            "s3:GetObject",
            "s3:ListBucket",
            "s3:Get*",
            "ec2:DescribeInstances",
            "dynamodb:BatchGetItem",
            "dynamodb:Query",
            "iam:GetUser",
            "iam:ListRoles",
            "secretsmanager:GetSecretValue",
            "kms:Decrypt",
            "ReadOnlyAccess",
            "arn:aws:iam::aws:policy/ReadOnlyAccess",
            "ViewOnlyAccess",
            "SecurityAudit",
            "arn:aws:iam::aws:policy/SecurityAudit",
            "AmazonS3ReadOnlyAccess",
        ],
        &[
            "s3:PutObject",
            "s3:DeleteObject",
            "sqs:SendMessage",
            "sns:Publish",
            "lambda:InvokeFunction",
            "execute-api:Invoke",
            "dynamodb:BatchWriteItem",
            "ec2:RunInstances",
            "ec2:TerminateInstances",
            "PowerUserAccess",
        ],
        &[
            "iam:*",
            "s3:*",
            "*",
            "iam:CreateUser",
            "iam:AttachRolePolicy",
            "iam:PassRole",
            "sts:AssumeRole",
            "AdministratorAccess",
            "arn:aws:iam::aws:policy/AdministratorAccess",
            "IAMFullAccess",
            "AmazonS3FullAccess",
            "s3:PutBucketPolicy",
        ],
        &["ec2:ReportInstanceStatus", "s3:getobject", "arn:aws:s3:::bucket", "S3:GetObject:x"],
    );
}

/// Google, OAuth 2.0 scopes for Google APIs.
#[test]
fn google() {
    let auth = |name: &str| format!("https://www.googleapis.com/auth/{name}");
    for (name, tier) in [
        ("drive.readonly", ScopeTier::Read),
        ("gmail.readonly", ScopeTier::Read),
        ("gmail.metadata", ScopeTier::Read),
        ("userinfo.email", ScopeTier::Read),
        ("cloud-platform.read-only", ScopeTier::Read),
        ("devstorage.read_only", ScopeTier::Read),
        ("admin.directory.user.readonly", ScopeTier::Read),
        ("drive", ScopeTier::Write),
        ("drive.file", ScopeTier::Write),
        ("gmail.send", ScopeTier::Write),
        ("gmail.modify", ScopeTier::Write),
        ("calendar.events", ScopeTier::Write),
        ("devstorage.read_write", ScopeTier::Write),
        ("trace.append", ScopeTier::Write),
        ("spreadsheets", ScopeTier::Write),
        ("cloud-platform", ScopeTier::Admin),
        ("devstorage.full_control", ScopeTier::Admin),
        ("admin.directory.user", ScopeTier::Admin),
        ("sqlservice.admin", ScopeTier::Admin),
    ] {
        assert_eq!(BUILTIN.tier(&auth(name)), tier, "{name}");
    }
    check(
        &["roles/viewer"],
        &["https://mail.google.com/", "roles/editor"],
        &["roles/owner"],
        &["https://mail.example"],
    );
}

/// Slack, Permission scopes; Stripe, Apps permissions reference.
#[test]
fn slack_and_stripe() {
    check(
        &[
            "channels:read",
            "channels:history",
            "users:read",
            "users:read.email",
            "identity.basic",
            "admin.users:read",
            "charge_read",
            "customer_read",
            "read_only",
        ],
        &[
            "chat:write",
            "chat:write.public",
            "files:write",
            "channels:join",
            "channels:manage",
            "incoming-webhook",
            "commands",
            "remote_files:share",
            "charge_write",
            "payment_intent_write",
            "read_write",
        ],
        &["admin", "admin.users:write", "admin.roles:write", "admin.conversations:write"],
        &["client"],
    );
}

#[test]
fn every_name_in_the_table_has_the_tier_that_it_was_given() {
    let table: toml::Table = toml::from_str(BUILTIN_TEXT).unwrap();
    let mut n_names = 0;
    for scope in table["scope"].as_array().unwrap() {
        let tier: ScopeTier = scope["tier"].clone().try_into().unwrap();
        for name in scope.get("exact").and_then(toml::Value::as_array).into_iter().flatten() {
            assert_eq!(BUILTIN.tier(name.as_str().unwrap()), tier, "{name}");
            n_names += 1;
        }
    }
    assert!(n_names > 150, "{n_names}");
}

proptest! {
    #[test]
    fn any_text_has_a_tier(name in "\\PC{0,60}") {
        prop_assert_ne!(BUILTIN.tier(&name), ScopeTier::None);
    }

    #[test]
    fn letters_count_alike_in_both_cases_but_for_actions(name in "([a-zA-Z]{1,6}|read|write|admin|[._ =-]){0,6}") {
        prop_assert_eq!(BUILTIN.tier(&name), BUILTIN.tier(&name.to_ascii_uppercase()));
    }

    #[test]
    fn the_words_of_an_action_are_its_parts(action in "[A-Z][a-zA-Z0-9*é]{0,20}") {
        let scope = format!("s3:{action}");
        let words: String = action_words(&scope).collect();
        prop_assert_eq!(words, action);
    }
}
