use super::*;

fn environment(text: &str) -> AwsEnvironment {
    AwsEnvironment::read(|name| {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
    })
}

fn show(source: &Source) -> String {
    match source {
        Source::Static(own) => format!("keys {}", own.access_key_id.expose()),
        Source::WebIdentity(web) => {
            format!("web {} {} {}", web.role_arn, web.token_file, web.session_name)
        }
        Source::Process(command) => format!("process {command}"),
        Source::Role(role, base) => format!("role {} from {}", role.arn, show(base)),
        Source::Container => "container".into(),
        Source::Metadata => "metadata".into(),
    }
}

#[track_caller]
fn check(env: &str, config: &str, credentials: &str, expect: &str) {
    let profiles = Profiles::parse(config, credentials, "the shared files".into());
    let found = choose(&environment(env), &profiles);
    assert_eq!(found.as_ref().map_or_else(Clone::clone, show), expect, "{env}\n{config}");
}

const KEYS: &str = "[default]\naws_access_key_id=D\naws_secret_access_key=s\n\
                    [ann]\naws_access_key_id=A\naws_secret_access_key=s\n";

#[test]
fn the_first_source_that_is_set_up_is_the_one() {
    let all = "AWS_ACCESS_KEY_ID=E AWS_SECRET_ACCESS_KEY=s AWS_WEB_IDENTITY_TOKEN_FILE=/t \
               AWS_ROLE_ARN=arn:r AWS_CONTAINER_CREDENTIALS_FULL_URI=http://x";
    check(all, "", KEYS, "keys E");
    let web = "AWS_WEB_IDENTITY_TOKEN_FILE=/t AWS_ROLE_ARN=arn:r";
    check(web, "", KEYS, "web arn:r /t depd");
    let container = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/x";
    check(container, "", KEYS, "keys D");
    check("AWS_PROFILE=ann", "", KEYS, "keys A");
    check("AWS_DEFAULT_PROFILE=ann", "", KEYS, "keys A");
    check(container, "", "", "container");
    check(container, "[default]\nregion = eu-west-1\n", "", "container");
    check("", "", "", "metadata");
}

#[test]
fn profiles_lead_to_one_another() {
    check(
        "AWS_PROFILE=dev",
        "[profile dev]\nrole_arn=arn:dev\nsource_profile=ann\n",
        KEYS,
        "role arn:dev from keys A",
    );
    check(
        "AWS_PROFILE=a",
        "[profile a]\nrole_arn=arn:a\nsource_profile=b\n[profile b]\nrole_arn=arn:b\nsource_profile=ann",
        KEYS,
        "role arn:a from role arn:b from keys A",
    );
    check(
        "AWS_PROFILE=ann",
        "[profile ann]\nrole_arn=arn:own\nsource_profile=ann\n",
        KEYS,
        "role arn:own from keys A",
    );
    check(
        "AWS_PROFILE=dev",
        "[profile dev]\nrole_arn=arn:dev\nweb_identity_token_file=/t\nrole_session_name=me\n",
        "",
        "web arn:dev /t me",
    );
    check(
        "AWS_PROFILE=dev",
        "[profile dev]\nrole_arn=arn:dev\ncredential_source=Ec2InstanceMetadata\n",
        "",
        "role arn:dev from metadata",
    );
    check(
        "AWS_PROFILE=dev",
        "[profile dev]\ncredential_process = /bin/give --to me\n",
        "",
        "process /bin/give --to me",
    );
}

#[test]
fn settings_that_contradict_themselves_are_named() {
    let text: Vec<String> = [
        ("AWS_ACCESS_KEY_ID=E", "", ""),
        ("AWS_SECRET_ACCESS_KEY=E", "", ""),
        ("AWS_WEB_IDENTITY_TOKEN_FILE=/t", "", ""),
        ("AWS_PROFILE=nobody", "", KEYS),
        ("AWS_EC2_METADATA_DISABLED=true", "", ""),
        ("AWS_PROFILE=x", "[profile x]\nrole_arn=arn:x\n", ""),
        ("AWS_PROFILE=x", "[profile x]\nrole_arn=arn:x\nmfa_serial=m\nsource_profile=ann", KEYS),
        ("AWS_PROFILE=x", "[profile x]\nrole_arn=arn:x\nsource_profile=none\n", ""),
        ("AWS_PROFILE=x", "[profile x]\nrole_arn=arn:x\ncredential_source=Moon\n", ""),
        ("AWS_PROFILE=x", "[profile x]\nsso_session=corp\n", ""),
        ("AWS_PROFILE=x", "[profile x]\naws_access_key_id=A\n", ""),
        (
            "AWS_PROFILE=a",
            "[profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a",
            "",
        ),
    ]
    .iter()
    .map(|(env, config, credentials)| {
        let profiles = Profiles::parse(config, credentials, "the shared files".into());
        choose(&environment(env), &profiles).expect_err(env)
    })
    .collect();
    insta::assert_snapshot!(text.join("\n"));
}
