//! [`UnusedHost`]: a host that must not be contacted.

use std::net::{SocketAddr, TcpListener};

pub(crate) struct UnusedHost(TcpListener);

impl UnusedHost {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    pub(crate) fn got_no_connection(&self) -> bool {
        self.0.accept().is_err()
    }
}
