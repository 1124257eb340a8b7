//! The Kyma module: its manifest, its settings and its image.

use nats_manager::settings::Settings;
use serde_json::Value;

use super::{kustomize, of_kind, read};

#[test]
fn documentation_link_is_an_existing_page() {
    let module: Value = serde_saphyr::from_str(&read("module-config.yaml")).unwrap();
    let page = module["documentation"].as_str().unwrap().rsplit_once("/nats-manager/").unwrap().1;
    assert!(read(&format!("docs/{page}.md")).starts_with("# "), "{page}");
}

#[tokio::test]
async fn shipped_environment_is_valid_with_and_without_fips() {
    let objects = kustomize("default").await;
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let shipped = container["env"].as_array().unwrap();
    for (fips, ending) in [("false", "nats:2.14.2-scratch"), ("true", "nats-fips:2.14.200")] {
        let settings = Settings::from_env(|name| {
            let variable = shipped.iter().find(|variable| variable["name"] == name)?;
            // Kyma sets this variable in the Pods.
            if name == "KYMA_FIPS_MODE_ENABLED" {
                Some(fips.to_owned())
            } else {
                variable["value"].as_str().map(Into::into)
            }
        });
        let nats = settings.unwrap().images.nats;
        assert!(nats.ends_with(ending), "{nats}");
    }
}

#[test]
fn dockerfile_uses_toolchain_of_repository() {
    let toolchain = read("rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"').to_owned();
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("\nFROM --platform=$BUILDPLATFORM rust:{channel}-slim-")), "{channel}");
}

#[test]
fn context_of_the_image_has_the_configuration_and_the_manifests_of_cargo() {
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let ignored = read(".dockerignore");
    let copied: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(copied.contains(&".cargo/config.toml"), "its variables select how AWS-LC is built");
    for member in members.split(',').map(|member| member.trim().trim_matches('"')) {
        let is_copied = |folder: &&str| member == *folder || member.starts_with(&format!("{folder}/"));
        assert!(copied.iter().any(is_copied), "cargo in the Dockerfile does not find {member}");
    }
}

#[tokio::test]
async fn manifest_needs_no_order_and_reverts_no_runtime_data() {
    let objects = kustomize("default").await;
    for kind in ["Namespace", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        assert!(of_kind(&objects, kind).is_empty(), "{kind}");
    }
    for object in objects.iter().filter(|object| ["Secret", "Lease"].contains(&object["kind"].as_str().unwrap())) {
        assert!(object.get("data").is_none() && object.get("spec").is_none(), "{object}");
    }
}
