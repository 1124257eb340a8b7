//! Ports for processes that bind them later.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

/// Returns an address of loopback, in the network of this thread, whose port is free. The kernel gives the port to no
/// other process for a minute: a connection of it was closed, and is in `TIME_WAIT`. Listeners of tokio and of Go can bind
/// it nevertheless, since they set `SO_REUSEADDR`.
pub fn free_address() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut client = TcpStream::connect(address)?;
    let (server, _) = listener.accept()?;
    // The end that closes first waits.
    drop(server);
    io::copy(&mut client, &mut io::sink())?;
    Ok(address)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn address_is_given_once_and_can_be_bound() {
        let addresses: HashSet<_> = (0..2_000).map(|_| free_address().unwrap()).collect();
        assert_eq!(addresses.len(), 2_000);
        let others: Vec<_> = (0..500).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        assert!(others.iter().all(|other| !addresses.contains(&other.local_addr().unwrap())));
        drop(others);
        for address in addresses {
            assert!(TcpStream::connect(address).is_err(), "{address}");
            TcpListener::bind(address).unwrap();
        }
    }
}
