//! Tests beyond the comparison with the reference (`tests/reference`).

use k8s_openapi::api::core::v1::{PodSpec, Volume};
use nats_manager_api::{
    Bytes, DeployedMemoryStore, FileStore, Nats, NatsSpec, Spread, naming, resolve, rules::ClusterFacts,
};
use nats_manager_planner::{Time, actual::ServerMode, plan::Variant, snapshot::PeerId};
use serde_json::json;

use super::*;

mod injection;

fn nats(namespace: &str, name: &str, spec: serde_json::Value) -> Nats {
    let mut nats = Nats::new(name, serde_json::from_value::<NatsSpec>(spec).unwrap());
    nats.metadata.namespace = Some(namespace.to_owned());
    nats.metadata.uid = Some("uid".to_owned());
    nats
}

fn cluster(spec: serde_json::Value) -> ResolvedCluster {
    resolve(&nats("kyma-system", "eventing-nats", spec), &ClusterFacts::default(), Spread::Soft).unwrap()
}

fn images() -> Images {
    Images { nats: "n".to_owned(), config_reloader: "r".to_owned(), exporter: "e".to_owned() }
}

fn built(cluster: &ResolvedCluster) -> Children {
    built_with(cluster, &fresh_plan(cluster))
}

fn built_with(cluster: &ResolvedCluster, plan: &Plan) -> Children {
    build(cluster, plan, &images(), &SystemAccount::with_password("password"))
}

fn layout(cluster: &ResolvedCluster) -> Layout {
    let plan = fresh_plan(cluster);
    Layout { routes: plan.routes, memory_store: plan.memory_store, file_store: plan.file_store }
}

fn restart_hash(spec: serde_json::Value) -> String {
    let cluster = cluster(spec);
    nats_conf::restart_hash(&cluster, layout(&cluster))
}

fn pod(children: &Children) -> &PodSpec {
    children.stateful_set.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn template_annotation<'a>(children: &'a Children, name: &str) -> Option<&'a str> {
    let metadata = children.stateful_set.spec.as_ref().unwrap().template.metadata.as_ref().unwrap();
    metadata.annotations.as_ref().unwrap().get(name).map(String::as_str)
}

fn config(children: &Children) -> &str {
    &children.config_map.data.as_ref().unwrap()["nats.conf"]
}

/// A change of this value restarts the servers of every cluster that is taken over or updated. The release notes have
/// to announce an intended one.
#[test]
fn configuration_hash_of_existing_clusters_is_constant() {
    assert_eq!(restart_hash(json!({})), "ba9393a2037b50e0");
    assert_eq!(restart_hash(json!({"cluster": {"size": 1}})), "5054bbc1b68750fb");
}

#[test]
fn configuration_hash_covers_only_settings_that_need_a_restart() {
    let default = restart_hash(json!({}));
    for same in [
        json!({"logging": {"debug": true, "trace": true}}),
        json!({"cluster": {"size": 5}}),
        json!({"jetStream": {"memStorage": {"size": "256Mi"}}}),
        json!({"jetStream": {"memStorage": {"enabled": false}}}),
        json!({"jetStream": {"fileStorage": {"size": "2Gi"}}}),
        json!({"labels": {"a": "b"}}),
    ] {
        assert_eq!(restart_hash(same.clone()), default, "{same}");
        assert_ne!(built(&cluster(same.clone())).config_map, built(&cluster(json!({}))).config_map, "{same}");
    }
    assert_ne!(restart_hash(json!({"cluster": {"size": 1}})), default);
}

#[test]
fn applied_hash_changes_only_with_its_object() {
    let hash =
        |children: &Children| children.service.metadata.annotations.as_ref().unwrap()[naming::APPLIED_HASH].clone();
    let default = hash(&built(&cluster(json!({}))));
    assert_eq!(hash(&built(&cluster(json!({"logging": {"debug": true}})))), default);
    assert_ne!(hash(&built(&cluster(json!({"labels": {"a": "b"}})))), default);
    assert_ne!(hash(&built(&cluster(json!({"annotations": {"a": "b"}})))), default);
}

#[test]
fn secret_metadata_is_independent_of_the_password() {
    let default = cluster(json!({}));
    let secret = |account: &SystemAccount| build(&default, &fresh_plan(&default), &images(), account).secret;
    let (one, other) = (SystemAccount::generate(), SystemAccount::generate());
    assert_ne!(one, other);
    assert_eq!(secret(&one).metadata, secret(&other).metadata);
    assert_eq!(SystemAccount::from_secret(&secret(&one)), Some(one.clone()));
    assert_eq!(format!("{one:?}"), "SystemAccount { .. }");
    assert_eq!(SystemAccount::from_secret(&Secret::default()), None);
    let mut emptied = secret(&one);
    emptied.data.as_mut().unwrap().get_mut(RESOLVER_KEY).unwrap().0.clear();
    assert_eq!(SystemAccount::from_secret(&emptied), None);
}

#[test]
fn placement_of_the_spec_replaces_only_its_part_of_the_default() {
    let default = built(&cluster(json!({})));
    assert_eq!((pod(&default).node_selector.clone(), pod(&default).tolerations.clone()), (None, None));
    let placed = |scheduling: serde_json::Value| pod(&built(&cluster(json!({"scheduling": scheduling})))).clone();
    assert_eq!(placed(json!({"nodeSelector": {}, "tolerations": []})), *pod(&default));

    let nodes =
        placed(json!({"nodeSelector": {"pool": "nats"}, "tolerations": [{"key": "dedicated", "value": "nats"}]}));
    assert_eq!(json!(nodes.node_selector), json!({"pool": "nats"}));
    assert_eq!(json!(nodes.tolerations), json!([{"key": "dedicated", "value": "nats"}]));
    assert_eq!(nodes.affinity, pod(&default).affinity);
    assert_eq!(nodes.topology_spread_constraints, pod(&default).topology_spread_constraints);

    let preferred = json!([{"weight": 1, "preference": {"matchExpressions": [{"key": "ssd", "operator": "Exists"}]}}]);
    let node_affinity = json!({"preferredDuringSchedulingIgnoredDuringExecution": preferred});
    let affinity = placed(json!({"affinity": {"nodeAffinity": node_affinity}})).affinity.unwrap();
    assert_eq!(json!(affinity.node_affinity), node_affinity);
    let anti_affinity = |pod: &PodSpec| pod.affinity.clone().unwrap().pod_anti_affinity;
    assert_eq!(affinity.pod_anti_affinity, anti_affinity(pod(&default)));
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}]});
    let apart = placed(json!({"affinity": {"podAntiAffinity": required}}));
    assert_eq!(json!(anti_affinity(&apart)), required);

    let constraint = json!({"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"});
    let spread = placed(json!({"topologySpreadConstraints": [constraint]})).topology_spread_constraints.unwrap();
    let servers = json!({"matchLabels": {"nats_cluster": "eventing-nats"}});
    assert_eq!(spread.len(), 1);
    assert_eq!((spread[0].max_skew, json!(spread[0].label_selector)), (2, servers));
    assert_eq!(placed(json!({"topologySpreadConstraints": []})).topology_spread_constraints, Some(Vec::new()));
}

#[test]
fn hard_spread_leaves_a_pod_pending_and_does_not_count_tainted_nodes() {
    let hard = ResolvedCluster { spread: Spread::Hard, ..cluster(json!({})) };
    let children = built(&hard);
    for constraint in pod(&children).topology_spread_constraints.as_ref().unwrap() {
        assert_eq!(constraint.when_unsatisfiable, "DoNotSchedule");
        assert_eq!(constraint.node_taints_policy.as_deref(), Some("Honor"));
    }
    assert_eq!(children.stateful_set.metadata.annotations.as_ref().unwrap()[naming::SPREAD], "hard");
}

#[test]
fn memory_only_cluster_has_no_pvcs() {
    let children = built(&cluster(json!({"jetStream": {"fileStorage": {"enabled": false}}})));
    assert_eq!(children.stateful_set.spec.as_ref().unwrap().volume_claim_templates, None);
    let is_store = |volume: &&Volume| volume.empty_dir.as_ref().is_some_and(|dir| dir.size_limit.is_some());
    let store = pod(&children).volumes.as_ref().unwrap().iter().find(is_store).unwrap();
    let mounts = pod(&children).containers[2].volume_mounts.as_ref().unwrap();
    let mount = mounts.iter().find(|mount| mount.name == store.name).unwrap();
    assert_eq!(mount.mount_path, nats_conf::STORE_FOLDER);
    assert!(config(&children).contains("max_file_store: 0\n"), "{}", config(&children));
}

#[test]
fn autoscaler_may_evict_local_volumes_only_if_messages_are_on_a_pvc() {
    for (spec, expected) in [
        (json!({}), Some(volumes::RUN)),
        (json!({"cluster": {"size": 1}}), Some(volumes::RUN)),
        (json!({"jetStream": {"fileStorage": {"enabled": false}}}), None),
    ] {
        let children = built(&cluster(spec.clone()));
        assert_eq!(template_annotation(&children, naming::LOCAL_VOLUMES), expected, "{spec}");
    }
}

#[test]
fn disabled_memory_store_has_limit_zero() {
    let children = built(&cluster(json!({"jetStream": {"memStorage": {"enabled": false}}})));
    assert!(config(&children).contains("max_memory_store: 0\n"), "{}", config(&children));
    assert_eq!(children.stateful_set.metadata.annotations.as_ref().unwrap()[naming::MEMORY_STORE], "0");
}

#[test]
fn lowered_memory_store_restarts_the_servers() {
    let default = cluster(json!({}));
    assert_eq!(template_annotation(&built(&default), naming::RESTARTED_FOR_MEMORY_STORE), None);
    let deployed = DeployedMemoryStore { configured: Some(Bytes::gibi(1)), restarted_for: None };
    let lowered = ResolvedCluster { deployed_memory_store: deployed, ..default };
    let plan = Plan { memory_store: Bytes::mebi(20).get(), ..fresh_plan(&lowered) };
    let annotation = built_with(&lowered, &plan);
    assert_eq!(template_annotation(&annotation, naming::RESTARTED_FOR_MEMORY_STORE), Some("20971520"));
}

#[test]
fn go_memory_limit_is_set_only_with_a_memory_limit() {
    let limit = |memory_limit: Option<Bytes>| {
        let children = built(&ResolvedCluster { memory_limit, ..cluster(json!({})) });
        let environment = pod(&children).containers[2].env.clone().unwrap();
        environment.into_iter().find(|variable| variable.name == "GOMEMLIMIT").and_then(|variable| variable.value)
    };
    assert_eq!(limit(Some(Bytes::gibi(1))).as_deref(), Some("858993459B"));
    assert_eq!(limit(None), None);
}

#[test]
fn storage_class_is_set_only_if_the_spec_names_one() {
    let class = |class: Option<&str>| {
        let file_store = FileStore::Volume { size: Bytes::gibi(1), class: class.map(str::to_owned) };
        let children = built(&ResolvedCluster { file_store, ..cluster(json!({})) });
        let pvcs = children.stateful_set.spec.unwrap().volume_claim_templates.unwrap();
        pvcs[0].spec.as_ref().unwrap().storage_class_name.clone()
    };
    assert_eq!(class(None), None);
    assert_eq!(class(Some("fast")).as_deref(), Some("fast"));
}

/// Expected value: `/varz` of nats-server 2.14.2 with these files.
#[test]
fn digest_is_the_one_that_the_server_reports() {
    let account = SystemAccount::with_password("password").credentials().unwrap();
    let digest = |spec, server| {
        let cluster = cluster(spec);
        let layout = Layout { file_store: Bytes::gibi(1).get(), ..layout(&cluster) };
        config_digest(&cluster, layout, &account, server)
    };
    assert_eq!(
        digest(json!({}), "eventing-nats-0"),
        "sha256:4cf09b196759f0b41739d67aa46bf49ee20f7bbb14fbafbaa17f2dce2d222146"
    );
    assert_ne!(digest(json!({}), "eventing-nats-1"), digest(json!({}), "eventing-nats-0"));
    let debug = json!({"logging": {"debug": true}});
    assert_ne!(digest(debug, "eventing-nats-0"), digest(json!({}), "eventing-nats-0"));
}

#[test]
fn digest_is_known_only_without_other_accounts_and_users() {
    let account = |text: &str| {
        let data = [(RESOLVER_KEY.to_owned(), k8s_openapi::ByteString(text.as_bytes().to_vec()))].into();
        SystemAccount::from_secret(&Secret { data: Some(data), ..Secret::default() }).unwrap()
    };
    let own = SystemAccount::with_password("p");
    assert_eq!(own.sole_user(), own.credentials());
    for (is_known, text) in [
        (true, r#"accounts: { "$SYS": { "users": [ {"user": "admin", "password": "p"} ] } }, system_account: "$SYS""#),
        (true, r#"accounts: { "$SYS": { users: [ {user: "root", password: "p"} ] } }, system_account: "$SYS""#),
        (
            false,
            r#"accounts: { A: {}, "$SYS": { users: [ {user: "admin", password: "p"} ] } }, system_account: "$SYS""#,
        ),
        (false, r#"accounts: { "$SYS": { users: [ {user: "admin", password: "p"} ] } }"#),
        (
            false,
            r#"accounts: { "$SYS": { users: [ {user: "admin", password: "p"}, {user: "b", password: "p"} ] } }, system_account: "$SYS""#,
        ),
    ] {
        let account = account(text);
        assert!(account.credentials().is_some(), "{text}");
        assert_eq!(account.sole_user().is_some(), is_known, "{text}");
    }
}

#[test]
fn cluster_formed_from_a_standalone_server_has_its_own_key() {
    let three = cluster(json!({}));
    let plan = Plan {
        variant: Variant::FORMED,
        main_kind: ServerMode::Standalone,
        members: 1,
        partition: 1,
        ..fresh_plan(&three)
    };
    let children = built_with(&three, &plan);
    let keys = children.config_map.data.as_ref().unwrap();
    assert!(!keys["nats.conf"].contains("cluster {") && keys["nats-cluster.conf"].contains("cluster {"), "{keys:?}");
    let command = pod(&children).containers[2].command.clone().unwrap();
    assert_eq!(command.last().unwrap(), "/etc/nats-config/nats-cluster.conf");
    let spec = children.stateful_set.spec.as_ref().unwrap();
    let partition = spec.update_strategy.as_ref().unwrap().rolling_update.as_ref().unwrap().partition;
    assert_eq!((spec.replicas, partition), (Some(3), Some(1)));
    assert_eq!(children.stateful_set.metadata.annotations.as_ref().unwrap()[naming::SIZE], "1");

    let formed = built_with(&three, &Plan { main_kind: ServerMode::Clustered, ..plan });
    assert!(formed.config_map.data.unwrap()["nats.conf"].contains("cluster {"));
    assert_eq!(built(&three).config_map.data.unwrap().len(), 1, "a fresh cluster has no other key");
}

#[test]
fn stateful_set_records_the_plan() {
    let three = cluster(json!({}));
    let removed = [(PeerId("abcdefgh".to_owned()), Time::from_millis(5_000))].into();
    let plan = Plan { precondition: Some("7".to_owned()), removed, ..fresh_plan(&three) };
    let metadata = built_with(&three, &plan).stateful_set.metadata;
    assert_eq!(metadata.resource_version.as_deref(), Some("7"));
    let annotations = metadata.annotations.unwrap();
    assert_eq!(annotations[naming::REMOVED_PEERS], "abcdefgh=5");
    let without = Plan { precondition: None, ..plan };
    let hash = built_with(&three, &without).stateful_set.metadata.annotations.unwrap()[naming::APPLIED_HASH].clone();
    assert_eq!(annotations[naming::APPLIED_HASH], hash, "the version is no part of what was applied");
}

#[test]
fn cluster_domain_is_in_every_host_name() {
    let domain = |text: &str| ResolvedCluster { domain: text.parse().unwrap(), ..cluster(json!({})) };
    for (text, suffix) in [("cluster.local", ".svc.cluster.local"), ("k8s.example.com", ".svc.k8s.example.com")] {
        let cluster = domain(text);
        let children = built(&cluster);
        let service = format!("eventing-nats.kyma-system{suffix}");
        for ordinal in 0..3 {
            let route = format!("\"nats://eventing-nats-{ordinal}.{service}:6222\"");
            assert!(config(&children).contains(&route), "{route}: {}", config(&children));
        }
        let variables = pod(&children).containers[2].env.as_ref().unwrap();
        let advertised = variables.iter().find(|variable| variable.name == "CLUSTER_ADVERTISE").unwrap();
        assert_eq!(advertised.value, Some(format!("$(POD_NAME).eventing-nats.$(POD_NAMESPACE){suffix}")));
        assert_eq!(children.destination_rule.data["spec"]["host"], service);
        assert_eq!(cluster.id.url(&cluster.domain), format!("nats://{service}:4222"));
        assert_eq!(routes_in(config(&children)), 3);
    }
    assert_eq!(built(&domain("cluster.local")), built(&cluster(json!({}))), "nothing changes by default");
}
