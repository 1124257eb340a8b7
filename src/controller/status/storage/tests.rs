use nats_manager_planner::{
    snapshot::{JetStreamSnapshot, ServerSnapshot, StoreUsage, StreamLimits, StreamReplica},
    testing::{self, healthy_cluster, names, snapshot, stream, unreachable},
};

use super::{
    fill::Fill,
    level::{Level, LimitKind, Shortage},
    message,
};

const MEBI: u64 = 1 << 20;

fn usage(used: u64, reserved: u64) -> StoreUsage {
    StoreUsage { used: used * MEBI, reserved: reserved * MEBI, limit: 100 * MEBI }
}

fn server(file: u64) -> ServerSnapshot {
    ServerSnapshot { file: usage(file, 0), memory: usage(0, 0), ..testing::server() }
}

fn limited(name: &str, bytes: u64, limit: u64) -> StreamReplica {
    StreamReplica { limits: StreamLimits { bytes: limit * MEBI, messages: 0 }, ..stream(name).with_bytes(bytes * MEBI) }
}

fn of(snapshot: &JetStreamSnapshot, size: u32) -> Fill<'_> {
    Fill::of(snapshot, &names(size)).unwrap()
}

fn short(kind: LimitKind, level: Level) -> Shortage {
    Shortage { kind, level }
}

#[test]
fn worst_limit_is_reported() {
    use Level::{Full, NearlyFull};
    type Change = fn(&mut ServerSnapshot);
    let cases: [(&str, Change, Option<Shortage>); 12] = [
        ("empty", |_| (), None),
        ("a file store", |server| server.file = usage(80, 0), Some(short(LimitKind::FileStore, NearlyFull))),
        ("a full file store", |server| server.file = usage(90, 0), Some(short(LimitKind::FileStore, Full))),
        ("a memory store", |server| server.memory = usage(85, 0), Some(short(LimitKind::MemoryStore, NearlyFull))),
        ("a full memory store", |server| server.memory = usage(100, 0), Some(short(LimitKind::MemoryStore, Full))),
        ("a disabled server", |server| server.disabled = true, Some(short(LimitKind::Volume, Full))),
        (
            "a stream",
            |server| server.streams = vec![limited("sap", 560, 700)],
            Some(short(LimitKind::Stream, NearlyFull)),
        ),
        (
            "a full stream",
            |server| server.streams = vec![limited("sap", 699, 700)],
            Some(short(LimitKind::Stream, Full)),
        ),
        (
            "a stream full of messages",
            |server| {
                let limits = StreamLimits { bytes: 0, messages: 1000 };
                server.streams = vec![StreamReplica { messages: 1000, limits, ..stream("a") }];
            },
            Some(short(LimitKind::Stream, Full)),
        ),
        ("a stream that discards old messages", |server| server.streams = vec![limited("a", 700, 0)], None),
        ("a reservation", |server| server.memory = usage(0, 95), Some(short(LimitKind::Reservation, NearlyFull))),
        (
            "a nearly full file store and a full stream",
            |server| {
                server.file = usage(85, 85);
                server.streams = vec![limited("sap", 700, 700)];
            },
            Some(short(LimitKind::Stream, Full)),
        ),
    ];
    for (case, change, expected) in cases {
        let mut middle = server(10);
        change(&mut middle);
        let all = snapshot([Ok(server(10)), Ok(middle), Ok(server(10))]);
        assert_eq!(of(&all, 3).shortage(None), expected, "{case}");
    }
}

#[test]
fn shortage_stays_while_a_server_that_may_be_fuller_is_unreachable() {
    let full = Some(short(LimitKind::FileStore, Level::Full));
    let partial = snapshot([Ok(server(10)), unreachable(), Ok(server(10))]);
    assert_eq!(of(&partial, 3).shortage(full), full);
    assert_eq!(of(&partial, 3).shortage(None), None);
    let complete = snapshot([Ok(server(10)), Ok(server(10)), Ok(server(10))]);
    assert_eq!(of(&complete, 3).shortage(full), None);
    let fuller = snapshot([Ok(server(95)), unreachable(), Ok(server(10))]);
    assert_eq!(of(&fuller, 3).shortage(Some(short(LimitKind::Stream, Level::NearlyFull))), full);
    assert!(Fill::of(&snapshot([unreachable()]), &names(1)).is_none());
}

#[test]
fn messages_name_the_limit_its_effect_and_what_to_do() {
    let message = |kind, change: fn(&mut JetStreamSnapshot)| {
        let mut all = healthy_cluster(3);
        change(&mut all);
        message::shortage(kind, &of(&all, 3))
    };
    for (kind, change, expected) in [
        (
            LimitKind::FileStore,
            (|all| {
                all.server_mut("n-1").file = usage(83, 0);
                all.add_stream(&stream("orders").with_bytes(70 * MEBI), &[1]);
                all.add_stream(&stream("sap").with_bytes(2048), &[1]);
            }) as fn(&mut JetStreamSnapshot),
            "The file store of n-1 is 83 % full (83Mi of 100Mi). Largest streams: orders 70Mi, sap 2Ki. Make room (nats \
             stream purge), or limit the streams (nats stream edit --max-bytes). The limits of sap are set in the \
             Eventing CR: spec.backend.config.natsStreamMaxSize and natsMaxMsgsPerTopic. See docs/user/storage.md.",
        ),
        (
            LimitKind::FileStore,
            |all| {
                all.server_mut("n-1").file = usage(83, 0);
                all.add_stream(&stream("sap").with_bytes(70 * MEBI), &[1]);
            },
            "The file store of n-1 is 83 % full (83Mi of 100Mi). Largest streams: sap 70Mi. Find consumers that do not \
             keep up (nats consumer report sap), and do not purge sap. The limits of sap are set in the Eventing CR: \
             spec.backend.config.natsStreamMaxSize and natsMaxMsgsPerTopic. See docs/user/storage.md.",
        ),
        (
            LimitKind::MemoryStore,
            |all| {
                all.server_mut("n-2").memory = usage(91, 0);
                all.add_stream(&stream("hot").with_bytes(91 * MEBI).kept_in_memory(), &[2]);
            },
            "The memory store of n-2 is 91 % full (91Mi of 100Mi). Largest streams in memory: hot 91Mi. Make room (nats \
             stream purge), or raise spec.jetStream.memStorage.size and spec.resources.limits.memory. See \
             docs/user/storage.md.",
        ),
        (
            LimitKind::Stream,
            |all| all.add_stream(&limited("sap", 574, 700), &[0, 1, 2]),
            "Streams that reject new messages at their limit (error 10077, in Eventing 507): sap is 82 % full (574Mi of \
             700Mi). Find consumers that do not keep up (nats consumer report). The limits of sap are set in the Eventing \
             CR: spec.backend.config.natsStreamMaxSize and natsMaxMsgsPerTopic. See docs/user/storage.md.",
        ),
        (
            LimitKind::Stream,
            |all| {
                for (name, used) in [("a", 90), ("b", 100), ("c", 85), ("d", 84), ("e", 10)] {
                    all.add_stream(&limited(name, used, 100), &[0]);
                }
            },
            "Streams that reject new messages at their limit (error 10077, in Eventing 507): b is 100 % full (100Mi of \
             100Mi), a is 90 % full (90Mi of 100Mi), c is 85 % full (85Mi of 100Mi). Find consumers that do not keep up \
             (nats consumer report). Raise the limit (nats stream edit b --max-bytes, or --max-msgs). See \
             docs/user/storage.md.",
        ),
        (
            LimitKind::Reservation,
            |all| all.server_mut("n-0").file = usage(5, 95),
            "Streams have reserved 95 % of the file store of n-0 (95Mi of 100Mi). Streams that need more cannot be \
             created (error 10047). Lower max_bytes of streams (nats stream report, nats stream edit --max-bytes). See \
             docs/user/storage.md.",
        ),
        (
            LimitKind::Volume,
            |all| all.server_mut("n-1").disabled = true,
            "n-1 has disabled JetStream, mostly because its volume is full. It is enabled again when there is room; see \
             docs/user/storage.md.",
        ),
    ] {
        assert_eq!(message(kind, change), expected);
    }
}

#[test]
fn documentation_contains_the_current_messages() {
    let page = include_str!("../../../../docs/user/storage.md");
    let mut file = healthy_cluster(1);
    file.servers = [(
        "eventing-nats-0".to_owned(),
        Ok(ServerSnapshot {
            file: StoreUsage { used: 52 * MEBI, limit: 64 * MEBI, reserved: 0 },
            streams: vec![stream("orders").with_bytes(52 * MEBI)],
            ..testing::server()
        }),
    )]
    .into();
    let mut eventing = healthy_cluster(3);
    eventing.add_stream(&limited("sap", 574, 700), &[0, 1, 2]);
    for (kind, snapshot) in [(LimitKind::FileStore, &file), (LimitKind::Stream, &eventing)] {
        let message = message::shortage(kind, &Fill::of(snapshot, &[]).unwrap());
        assert!(page.lines().any(|line| line == message), "{message}");
    }
}
