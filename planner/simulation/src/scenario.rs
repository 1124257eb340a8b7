//! Scenarios: a cluster and its events, generated from a seed.

use nats_manager_planner::{Version, actual::Replacement};

use crate::{
    event::{Edit, Event},
    kubernetes::{
        cache::Watch,
        objects::{ApiError, Image, Rules},
        volumes::Driver,
    },
    nats::requests::NewStream,
    random::{Purpose, Random},
    servers::ServerId,
};

/// A run: equal scenarios take the same course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed of all delays.
    pub seed: u64,
    /// Rule set of the StatefulSet controller.
    pub rules: Rules,
    /// Initial number of servers.
    pub size: u32,
    /// Initial version of NATS.
    pub version: Version,
    /// Initial memory store in bytes.
    pub memory: u64,
    /// Messages a second that a replica catches up.
    pub catch_up: u64,
    /// Seconds that a server needs to restore its streams.
    pub restore: u64,
    /// Streams that are created when the cluster is ready.
    pub streams: Vec<NewStream>,
    /// Events, with the seconds after the cluster was ready.
    pub events: Vec<(u64, Event)>,
}

/// The versions that clusters have.
const VERSIONS: [Version; 5] = [
    Version::new(2, 14, 2),
    Version::new(2, 14, 10),
    Version::new(2, 14, 10),
    Version::new(2, 15, 3),
    Version::new(2, 15, 0),
];
/// Sizes of the volumes that users ask for, in bytes.
const VOLUMES: [u64; 2] = [8_000_000_000, 16_000_000_000];
const DRIVERS: [Driver; 3] = [Driver::Online, Driver::AtMount, Driver::Failing];
const MEMORY: [u64; 4] = [0, 100_000_000, 500_000_000, 1_000_000_000];

impl Scenario {
    /// Builds a scenario without streams and events.
    pub fn new(seed: u64, size: u32) -> Self {
        Self {
            seed,
            rules: Rules::V1_34,
            size,
            version: Version::new(2, 14, 2),
            memory: 1_000_000_000,
            catch_up: 10_000,
            restore: 2,
            streams: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Generates the scenario of a seed.
    pub fn random(seed: u64) -> Self {
        let mut random = Random::new(seed, 0, Purpose::Scenario);
        let random = &mut random;
        let size = random.pick(&[1, 3, 3, 3, 5, 5]).unwrap_or(3);
        let streams = random.between(0, if size == 1 { 1 } else { 5 });
        let rules = if random.chance(50) { Rules::V1_34 } else { Rules::V1_37 };
        let duration = random.between(30, 1200);
        let is_burst = random.chance(30);
        let count = random.between(1, 10);
        let mut events: Vec<(u64, Event)> = (0..count)
            .map(|_| {
                let at = random.between(0, if is_burst { 60 } else { duration });
                (at, event(random))
            })
            .collect();
        events.sort_by_key(|(at, _)| *at);
        Self {
            rules,
            version: random.pick(&VERSIONS[..4]).unwrap_or(VERSIONS[0]),
            memory: random.pick(&MEMORY[1..]).unwrap_or(MEMORY[3]),
            catch_up: random.pick(&[500, 2_000, 10_000, 100_000]).unwrap_or(10_000),
            restore: random.pick(&[1, 1, 2, 5, 40]).unwrap_or(1),
            streams: (0..streams).map(|_| stream(random, size)).collect(),
            events,
            ..Self::new(seed, size)
        }
    }
}

fn stream(random: &mut Random, size: u32) -> NewStream {
    let replicas = random.pick(&[1, 3, 3, 3, 3, 5]).unwrap_or(3).min(size);
    let in_memory = random.chance(15);
    let messages = random.pick(&[0, 10, 5_000, 60_000, 300_000]).unwrap_or(10);
    let messages = if in_memory { messages.min(5_000) } else { messages };
    NewStream { replicas, in_memory, messages, rate: random.pick(&[0, 1, 20]).unwrap_or(0) }
}

fn server(random: &mut Random) -> ServerId {
    random.pick(&[0, 1, 2, 2, 3, 4]).unwrap_or(0)
}

fn edit(random: &mut Random) -> Edit {
    let size = random.pick(&[1, 3, 3, 5, 5, 7]);
    let image = random.pick(&[Image::Good, Image::Good, Image::Missing, Image::Crashing]);
    match random.between(0, 11) {
        0..=2 => Edit { size, ..Edit::default() },
        3 => Edit { template: true, ..Edit::default() },
        4 => Edit { size, template: true, ..Edit::default() },
        5 => Edit { version: random.pick(&VERSIONS), ..Edit::default() },
        6 => Edit { image, template: true, ..Edit::default() },
        7 => Edit { memory: random.pick(&MEMORY), ..Edit::default() },
        8 => Edit { size, version: random.pick(&VERSIONS), ..Edit::default() },
        9 => Edit { volume: random.pick(&VOLUMES), ..Edit::default() },
        10 => Edit { size, template: true, volume: random.pick(&VOLUMES), ..Edit::default() },
        _ => Edit { force: Some(random.chance(30)), ..Edit::default() },
    }
}

fn event(random: &mut Random) -> Event {
    let short = random.between(5, 60);
    let long = random.between(30, 400);
    match random.between(0, 99) {
        0..=29 => Event::Edit(edit(random)),
        30..=49 => by_user(random),
        50..=69 => to_manager(random, short),
        70..=77 => Event::LoseNode(server(random), long),
        78..=79 => Event::DestroyNode(server(random)),
        80..=82 => Event::FillVolume(server(random)),
        83 => Event::FreeVolume(server(random)),
        84..=87 => Event::WriteError(server(random), pick_stream(random)),
        88..=89 => Event::CrashContainer(server(random)),
        90 => Event::Quota(long),
        91 => Event::SetDriver(random.pick(&DRIVERS).unwrap_or_default()),
        92 => Event::BlockPorts(random.pick(&[None, None, Some(0), Some(2)]).flatten(), long),
        93 => Event::JoinForeign,
        94 => Event::LeaveForeign,
        95 => Event::StepDownMeta,
        96..=97 => Event::StepDownStream(pick_stream(random)),
        98 => Event::FillMemory(pick_stream(random)),
        _ => Event::CatchUp(random.pick(&[100, 1_000, 50_000]).unwrap_or(1_000)),
    }
}

fn by_user(random: &mut Random) -> Event {
    match random.between(0, 19) {
        0..=3 => Event::ScaleByHand(random.pick(&[0, 1, 2, 3, 4, 5, 6]).unwrap_or(3)),
        4 => Event::PartitionByHand(random.pick(&[0, 1, 2]).unwrap_or(0)),
        5 => Event::OnDelete,
        6..=8 => Event::RestartRollout,
        9..=11 => Event::DeletePod(server(random)),
        12 => Event::ForceDeletePod(server(random)),
        13 => Event::DeletePvc(server(random)),
        14 if random.chance(40) => Event::ExpandPvcByHand(server(random), random.pick(&VOLUMES).unwrap_or(VOLUMES[0])),
        14 => {
            let consent = if random.chance(70) { Replacement::KeepStreams } else { Replacement::LoseStreams };
            Event::ReplaceServer(server(random), consent)
        }
        15 => Event::DeleteStatefulSet,
        16 => Event::DeleteConfigMap,
        17 => random.pick(&[Event::Recreate(3), Event::Recreate(5), Event::OverwriteConfig]).unwrap_or(Event::OnDelete),
        18 => Event::CreateStream(stream(random, 5)),
        _ => Event::DeleteStream(pick_stream(random)),
    }
}

fn to_manager(random: &mut Random, seconds: u64) -> Event {
    const WATCHES: [Watch; 5] = [Watch::StatefulSet, Watch::Pods, Watch::Pvcs, Watch::Config, Watch::Resource];
    const ERRORS: [ApiError; 6] = [
        ApiError::Forbidden,
        ApiError::Conflict,
        ApiError::Gone,
        ApiError::Throttled,
        ApiError::Server,
        ApiError::LostAnswer,
    ];
    match random.between(0, 9) {
        0..=2 => Event::KillManager(u32::try_from(random.between(0, 6)).unwrap_or(0)),
        3 => Event::ManagerDown(seconds * 3),
        4..=5 => Event::StallWatch(random.pick(&WATCHES).unwrap_or(Watch::Pods), seconds),
        6..=7 => Event::ApiErrors(random.pick(&ERRORS).unwrap_or(ApiError::Server), 60, seconds),
        8 => Event::SlowApi(seconds),
        _ => Event::ControllerDown(seconds),
    }
}

fn pick_stream(random: &mut Random) -> usize {
    usize::try_from(random.between(0, 3)).unwrap_or(0)
}
