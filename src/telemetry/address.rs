//! Listen addresses in the spelling of Go's `net.Listen`.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Connections that the kernel keeps until they are accepted; it may keep fewer (`net.core.somaxconn`). Once they are
/// that many it drops those of every peer, which try again after a second: too late for a probe. The standard library
/// asks for 128, which a flood fills in milliseconds.
const BACKLOG: u32 = 4096;

/// Address that a server listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddress {
    /// `0` or an empty text: no listener.
    Disabled,
    /// `:8080`: every interface, IPv6 and IPv4. Port 0 takes any free one.
    All(u16),
    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`: the interface of one host.
    Host(String, u16),
}

/// Text that is no listen address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `:8080`, `127.0.0.1:8080` or `[::1]:8080`, or `0` for off")]
pub struct AddressError;

impl BindAddress {
    /// Starts to listen. Returns `None` if disabled.
    ///
    /// # Errors
    /// The error of the system, without the address.
    pub async fn listen(&self) -> io::Result<Option<TcpListener>> {
        match self {
            Self::Disabled => Ok(None),
            Self::Host(host, port) => {
                let mut result = Err(io::ErrorKind::NotFound.into());
                for address in lookup_host((host.as_str(), *port)).await? {
                    result = listen(address);
                    if result.is_ok() {
                        break;
                    }
                }
                result.map(Some)
            }
            Self::All(port) => {
                match listen((Ipv6Addr::UNSPECIFIED, *port).into()) {
                    // With IPv6 switched off, the system refuses the address or the family.
                    Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                        listen((Ipv4Addr::UNSPECIFIED, *port).into())
                    }
                    result => result,
                }
                .map(Some)
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the standard library does: a restart need not wait for connections of the previous process.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl FromStr for BindAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() || text == "0" {
            return Ok(Self::Disabled);
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        // `parse` would take "+80" too.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError);
        }
        let port = port.parse().map_err(|_| AddressError)?;
        if host.is_empty() {
            return Ok(Self::All(port));
        }
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.filter(|inner| inner.parse::<Ipv6Addr>().is_ok()).ok_or(AddressError)?,
            None => host,
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if host.parse::<Ipv6Addr>().is_err() && !host.chars().all(is_name)
            || text.starts_with(host) && host.contains(':')
        {
            return Err(AddressError);
        }
        Ok(Self::Host(host.to_owned(), port))
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("0"),
            Self::All(port) => write!(f, ":{port}"),
            Self::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_spellings_are_parsed() {
        let host = |host: &str, port| Ok(BindAddress::Host(host.into(), port));
        let cases = [
            ("", Ok(BindAddress::Disabled)),
            ("0", Ok(BindAddress::Disabled)),
            (":8080", Ok(BindAddress::All(8080))),
            (":0", Ok(BindAddress::All(0))),
            ("127.0.0.1:8080", host("127.0.0.1", 8080)),
            ("0.0.0.0:1", host("0.0.0.0", 1)),
            ("localhost:0", host("localhost", 0)),
            ("[::1]:8080", host("::1", 8080)),
            ("[::]:8080", host("::", 8080)),
            ("8080", Err(AddressError)),
            (":", Err(AddressError)),
            (":http", Err(AddressError)),
            (":65536", Err(AddressError)),
            (":-1", Err(AddressError)),
            (":+1", Err(AddressError)),
            ("::1:8080", Err(AddressError)),
            ("[::1:8080", Err(AddressError)),
            ("[host]:8080", Err(AddressError)),
            ("http://host:80", Err(AddressError)),
            ("a b:80", Err(AddressError)),
        ];
        for (text, expected) in cases {
            let parsed = text.parse::<BindAddress>();
            assert_eq!(parsed, expected, "{text}");
            if let Ok(address) = parsed
                && !text.is_empty()
            {
                assert_eq!(address.to_string(), text);
            }
        }
    }

    #[tokio::test]
    async fn all_interfaces_include_ipv4() {
        let listener = BindAddress::All(0).listen().await.unwrap().unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        assert!(BindAddress::Disabled.listen().await.unwrap().is_none());
        assert_eq!(BindAddress::All(port).listen().await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
