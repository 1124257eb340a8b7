use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

use super::*;

async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn probes_and_metrics_are_served_until_stopped() {
    let (local, metrics, readiness) = ("127.0.0.1:0".parse().unwrap(), Metrics::new(), Readiness::new());
    let check = readiness.check("crd", "waiting for the CustomResourceDefinition");
    let servers = TelemetryServers::bind(&local, &metrics, &local, &readiness).await.unwrap();
    let (metrics, probes) = (servers.metrics_address().unwrap(), servers.probes_address().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let asking = async {
        // A connection without a request must not hold up the end.
        let _idle = TcpStream::connect(probes).await.unwrap();
        let answer = get(probes, "/readyz", "").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("[-]crd: waiting for the CustomResourceDefinition"), "{answer}");
        check.pass();
        let cases = [
            (probes, "/readyz", "", "HTTP/1.1 200", "ok"),
            (probes, "/readyz?verbose", "", "HTTP/1.1 200", "[+]crd ok"),
            (probes, "/healthz", "", "HTTP/1.1 200", "ok"),
            (probes, "/metrics", "", "HTTP/1.1 404", ""),
            (metrics, "/metrics", "", "HTTP/1.1 200", "content-type: text/plain; version=0.0.4"),
            (
                metrics,
                "/metrics",
                "Accept: application/openmetrics-text\r\n",
                "HTTP/1.1 200",
                "application/openmetrics-text; version=1.0.0",
            ),
            (metrics, "/metrics", "", "HTTP/1.1 200", "nats_manager_leader 0"),
        ];
        for (address, path, headers, status, part) in cases {
            let answer = get(address, path, headers).await;
            assert!(answer.starts_with(status) && answer.contains(part), "{path}: {answer}");
        }
        stop.send(()).unwrap();
    };
    let stopped = async { stopped.await.unwrap() };
    tokio::join!(servers.serve(stopped), asking);
    assert!(TcpStream::connect(probes).await.is_err());
}

#[tokio::test]
async fn bind_error_names_address_in_use() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: BindAddress = listener.local_addr().unwrap().to_string().parse().unwrap();
    let off = BindAddress::Disabled;
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let error = TelemetryServers::bind(&off, &metrics, &address, &readiness).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address} for probes: ")), "{error}");
    let servers = TelemetryServers::bind(&off, &metrics, &off, &readiness).await.unwrap();
    servers.serve(std::future::ready(())).await;
}

#[tokio::test]
async fn silent_and_slow_clients_fail_no_probe_and_no_scrape() {
    let (local, metrics, readiness) = ("127.0.0.1:0".parse().unwrap(), Metrics::new(), Readiness::new());
    let servers = TelemetryServers::bind(&local, &metrics, &local, &readiness).await.unwrap();
    let cases = [(servers.probes_address().unwrap(), "/healthz"), (servers.metrics_address().unwrap(), "/metrics")];
    let (stop, stopped) = oneshot::channel::<()>();
    let asking = async {
        for (address, path) in cases {
            let mut open = Vec::new();
            for index in 0..200 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                if index % 2 == 0 {
                    // The head of a request that never ends. The server may have closed the connection.
                    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost:").await;
                }
                open.push(stream);
                if index % 20 == 0 {
                    let answer = get(address, path, "").await;
                    assert!(answer.starts_with("HTTP/1.1 200"), "{path} after {index}: {answer}");
                }
            }
        }
        // The head of a request is limited.
        let mut slow = TcpStream::connect(cases[0].0).await.unwrap();
        slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        let begun = std::time::Instant::now();
        let mut nothing = Vec::new();
        let _ = slow.read_to_end(&mut nothing).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        stop.send(()).unwrap();
    };
    tokio::join!(servers.serve(async { stopped.await.unwrap() }), asking);
}

#[tokio::test]
async fn connection_closes_after_a_probe_and_stays_after_a_scrape() {
    let (local, metrics, readiness) = ("127.0.0.1:0".parse().unwrap(), Metrics::new(), Readiness::new());
    let servers = TelemetryServers::bind(&local, &metrics, &local, &readiness).await.unwrap();
    let cases = [
        (servers.probes_address().unwrap(), "/healthz", true),
        (servers.metrics_address().unwrap(), "/metrics", false),
    ];
    let (stop, stopped) = oneshot::channel::<()>();
    let asking = async {
        for (address, path, closes) in cases {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await.unwrap();
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..count]).to_lowercase();
            assert_eq!(head.contains("connection: close"), closes, "{path}: {head}");
        }
        stop.send(()).unwrap();
    };
    tokio::join!(servers.serve(async { stopped.await.unwrap() }), asking);
}
