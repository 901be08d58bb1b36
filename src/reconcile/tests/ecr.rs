//! What comes before the PATCH when an image is in Amazon ECR.

use super::*;
use crate::model::PullSecrets;
use crate::reconcile::EcrPolicy;

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop:2";

fn desk_with(ecr: EcrPolicy, image: &str) -> Desk {
    let mut desk = desk(image, Some(fixture::workload("web")));
    desk.policy.ecr = ecr;
    desk
}

const BOTH: EcrPolicy = EcrPolicy { pull_secret: true, check: true };

fn secrets(before: &[&str], add: &[&str]) -> PullSecrets {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    PullSecrets { before: names(before), add: names(add) }
}

fn patch_of(desk: &Desk) -> Option<PullSecrets> {
    match &desk.step {
        Some(Step::Patch(patch)) => patch.pull_secrets.clone(),
        other => panic!("no PATCH: {other:?}"),
    }
}

#[test]
fn an_image_of_ecr_is_looked_for_and_gets_its_secret_before_the_patch() {
    let mut desk = desk_with(BOTH, IMAGE);
    desk.look("→ check images");
    desk.reply(Ok(Reply::ImagesChecked), "");
    desk.look("→ pull secret");
    desk.reply(Ok(Reply::PullSecretReady(secrets(&[], &["regcred", "depd-ecr"]))), "");
    desk.look(&format!("→ patch app={IMAGE}"));
    assert_eq!(patch_of(&desk), Some(secrets(&[], &["regcred", "depd-ecr"])));
    desk.patch_goes_through();
}

#[test]
fn other_images_and_other_settings_need_nothing_first() {
    desk_with(BOTH, "nginx:1.25").look("→ patch app=nginx:1.25");
    let mut off = desk_with(EcrPolicy::default(), IMAGE);
    off.look(&format!("→ patch app={IMAGE}"));
    assert_eq!(patch_of(&off), None);
    desk_with(EcrPolicy { check: true, ..EcrPolicy::default() }, IMAGE).look("→ check images");
    desk_with(EcrPolicy { pull_secret: true, ..EcrPolicy::default() }, IMAGE).look("→ pull secret");
}

#[test]
fn a_template_that_changed_meanwhile_is_asked_about_anew() {
    let mut desk = desk_with(EcrPolicy { pull_secret: true, check: false }, IMAGE);
    desk.look("→ pull secret");
    desk.workload().pull_secrets = Box::new(["own".into()]);
    desk.reply(Ok(Reply::PullSecretReady(secrets(&[], &["depd-ecr"]))), "");
    desk.look("→ pull secret");
    desk.reply(Ok(Reply::PullSecretReady(secrets(&["own"], &["depd-ecr"]))), "");
    desk.look(&format!("→ patch app={IMAGE}"));
    assert_eq!(patch_of(&desk), Some(secrets(&["own"], &["depd-ecr"])));
}

#[test]
fn a_registry_that_lets_nobody_in_is_said_once_and_asked_again_slowly() {
    let mut desk = desk_with(EcrPolicy { pull_secret: true, check: false }, IMAGE);
    for said in ["RegistryUnready(\"no credentials\")", ""] {
        desk.look("→ pull secret");
        desk.reply(Err(Setback::Registry("no credentials".into())), said);
        desk.look("");
        assert_eq!(desk.wake, Some(desk.now + Duration::from_secs(30)));
        desk.later(30);
    }
    desk.look("→ pull secret");
    desk.reply(Err(Setback::Busy), "");
    desk.look("");
    assert!(desk.wake.expect("soon") <= desk.now + Duration::from_millis(300));
}

#[test]
fn a_missing_image_is_said_once_and_rolled_out_when_somebody_pushes_it() {
    let mut desk = desk_with(EcrPolicy { pull_secret: false, check: true }, IMAGE);
    for said in ["image missing", ""] {
        desk.look("→ check images");
        desk.reply(Err(Setback::ImageMissing("no image 2".into())), said);
        assert!(!desk.service.has_place(), "no rollout is in flight");
        desk.look("");
        desk.later(59);
        desk.look("");
        desk.later(1);
    }
    desk.look("→ check images");
    desk.reply(Ok(Reply::ImagesChecked), "");
    desk.look(&format!("→ patch app={IMAGE}"));
    desk.patch_goes_through();
}

#[test]
fn a_newer_file_is_looked_for_at_once() {
    let mut desk = desk_with(EcrPolicy { pull_secret: false, check: true }, IMAGE);
    desk.look("→ check images");
    desk.reply(Err(Setback::ImageMissing("no image 2".into())), "image missing");
    desk.save(&IMAGE.replace(":2", ":3"));
    desk.look("→ check images");
    desk.reply(Err(Setback::ImageMissing("no image 3".into())), "image missing");
    desk.save("nginx:1.25");
    desk.look("→ patch app=nginx:1.25");
}

#[test]
fn what_was_found_out_is_not_kept_over_a_restart() {
    let mut desk = desk_with(BOTH, IMAGE);
    desk.look("→ check images");
    let kept = desk.service.durable();
    desk.reply(Ok(Reply::ImagesChecked), "");
    desk.look("→ pull secret");
    desk.reply(Ok(Reply::PullSecretReady(secrets(&[], &["depd-ecr"]))), "");
    assert_eq!(desk.service.durable(), kept, "nothing new must be written before the PATCH");
    let text = serde_json::to_string(&desk.service).expect("JSON");
    let mut again = desk_with(BOTH, IMAGE);
    again.service = serde_json::from_str(&text).expect("a service");
    again.look("→ check images");
}
