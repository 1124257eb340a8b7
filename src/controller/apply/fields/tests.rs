//! Tests of the table of fields.

use super::*;

fn found(kind: &str, live: &Value, desired: &Value) -> Vec<String> {
    ForeignContent::of(kind, live, desired).pointers()
}

#[test]
fn foreign_content_of_the_pod_template_is_found() {
    let pod = |pod: Value| json!({"spec": {"template": {"spec": pod}}});
    let desired = pod(json!({
        "affinity": {"podAntiAffinity": {"preferred": []}},
        "containers": [
            {"name": "nats", "command": ["nats-server"], "env": [{"name": "A", "valueFrom": {"fieldRef": {}}}],
             "ports": [{"name": "client", "containerPort": 4222}], "livenessProbe": {"httpGet": {}}},
            {"name": "metrics"},
        ],
        "volumes": [{"name": "pid", "emptyDir": {}}],
    }));
    let root = "/spec/template/spec";
    for (live, expected) in [
        (desired["spec"]["template"]["spec"].clone(), vec![]),
        // The apiserver fills these in.
        (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": false, "restartPolicy": "Always"}), vec![]),
        // Admission of others may add these.
        (
            json!({"tolerations": [{"key": "a"}], "imagePullSecrets": [{"name": "a"}],
                   "volumes": [{"name": "theirs", "secret": {}}],
                   "containers": [{"name": "nats", "volumeMounts": [{"name": "theirs", "mountPath": "/a"}]}]}),
            vec![],
        ),
        (json!({"nodeSelector": {"a": "b"}, "nodeName": "n"}), vec!["/nodeSelector", "/nodeName"]),
        (json!({"nodeSelector": {}, "initContainers": []}), vec![]),
        (
            json!({"affinity": {"nodeAffinity": {}, "podAntiAffinity": {"required": []}}}),
            vec!["/affinity/podAntiAffinity/required", "/affinity/nodeAffinity"],
        ),
        (
            json!({"hostNetwork": true, "dnsPolicy": "Default", "activeDeadlineSeconds": 5}),
            vec!["/hostNetwork", "/dnsPolicy", "/activeDeadlineSeconds"],
        ),
        (
            json!({"initContainers": [{"name": "a"}],
                   "containers": [{"name": "a"}, {"name": "nats"}, {"name": "b", "env": [{"name": "C"}]}]}),
            vec!["/initContainers", "/containers/2", "/containers/0"],
        ),
        (
            json!({"containers": [
                {"name": "metrics", "command": ["sh"], "env": [{"name": "A", "value": "1"}]},
                {"name": "nats", "args": ["-D"], "envFrom": [{"prefix": "a"}],
                 "env": [{"name": "A", "valueFrom": {}, "value": "1"}, {"name": "B"}, {"name": "C"}]},
            ]}),
            vec![
                "/containers/1/envFrom",
                "/containers/1/env/2",
                "/containers/1/env/1",
                "/containers/1/env/0/value",
                "/containers/1/args",
                "/containers/0/env",
                "/containers/0/command",
            ],
        ),
        (
            json!({"containers": [{"name": "nats", "livenessProbe": {"httpGet": {}, "exec": {}},
                   "ports": [{"name": "client", "containerPort": 1}, {"name": "theirs", "containerPort": 2}]}]}),
            vec!["/containers/0/ports/0", "/containers/0/livenessProbe"],
        ),
        (json!({"volumes": [{"name": "pid", "emptyDir": {}, "hostPath": {}}]}), vec!["/volumes/0"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|path| format!("{root}{path}")).collect();
        assert_eq!(found("StatefulSet", &pod(live.clone()), &desired), expected, "{live}");
    }
}

#[test]
fn foreign_content_of_selectors_ports_and_budgets_is_found() {
    let spec = |spec: Value| json!({"spec": spec});
    let budget = spec(json!({"maxUnavailable": 1, "selector": {"matchLabels": {"a": "1"}}}));
    let service = spec(json!({
        "selector": {"a": "1"},
        "ports": [{"name": "client", "port": 4222}, {"name": "monitor", "port": 8222, "protocol": "TCP"}],
    }));
    let set = spec(json!({"updateStrategy": {"rollingUpdate": {"partition": 3}}}));
    for (kind, desired, live, expected) in [
        (BUDGET, &budget, json!({"minAvailable": 2}), vec!["/spec/minAvailable"]),
        (
            BUDGET,
            &budget,
            json!({"selector": {"matchLabels": {"a": "2", "b/c": "1"}, "matchExpressions": [{"key": "d"}]}}),
            vec!["/spec/selector/matchLabels/b~1c", "/spec/selector/matchExpressions"],
        ),
        (SERVICE, &service, json!({"selector": {"a": "1", "b": "1"}}), vec!["/spec/selector/b"]),
        (
            SERVICE,
            &service,
            json!({"ports": [
                {"name": "client", "port": 4333, "protocol": "TCP"},
                {"name": "monitor", "port": 8222, "protocol": "TCP"},
                {"name": "theirs", "port": 1},
                {"name": "monitor", "port": 8222, "protocol": "UDP"},
            ]}),
            vec!["/spec/ports/3", "/spec/ports/0"],
        ),
        (SET, &set, json!({"updateStrategy": {"rollingUpdate": {"partition": 3, "maxUnavailable": 1}}}), vec![]),
        (
            SET,
            &set,
            json!({"updateStrategy": {"rollingUpdate": {"partition": 3, "maxUnavailable": "50%"}}}),
            vec!["/spec/updateStrategy/rollingUpdate/maxUnavailable"],
        ),
    ] {
        assert_eq!(found(kind, &spec(live.clone()), desired), expected, "{live}");
    }
}

#[test]
fn patch_is_for_one_version_of_the_object() {
    let live = json!({"spec": {"minAvailable": 2}});
    let desired = json!({"spec": {}});
    let patch = ForeignContent::of(BUDGET, &live, &desired).patch("7", &desired);
    let expected = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/spec/minAvailable"},
    ]);
    assert_eq!(patch, expected);
    let volume = |source: &str| json!({"spec": {"template": {"spec": {"volumes": [{"name": "pid", source: {}}]}}}});
    let mut desired = volume("emptyDir");
    desired["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": 3}});
    let patch = ForeignContent::of(SET, &volume("hostPath"), &desired).patch("7", &desired);
    let strategy = &desired["spec"]["updateStrategy"];
    // The strategy that is set contains nothing of others that could be removed.
    let mut both = volume("hostPath");
    both["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": 0, "maxUnavailable": 2}});
    assert_eq!(ForeignContent::of(SET, &both, &desired).patch("7", &desired), patch);
    assert_eq!(patch[1], json!({"op": "add", "path": "/spec/updateStrategy", "value": strategy}));
    let volume_at = "/spec/template/spec/volumes/0";
    assert_eq!(patch[2], json!({"op": "replace", "path": volume_at, "value": {"name": "pid", "emptyDir": {}}}));
}
