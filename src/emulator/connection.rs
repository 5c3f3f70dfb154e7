//! Connections that can be closed without an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::outage::Outage;

/// The times in which a resource is down.
#[derive(Clone)]
pub(super) struct Downtime {
    started: Instant,
    outages: Arc<[Outage]>,
}

impl Downtime {
    /// The outages of one resource, counted from now.
    pub(super) fn new(started: Instant, outages: &[Outage], resource: &str) -> Self {
        Self { started, outages: outages.iter().filter(|outage| outage.resource == resource).cloned().collect() }
    }

    /// Whether one lasts now.
    pub(super) fn is_now(&self) -> bool {
        let elapsed = self.started.elapsed();
        self.outages.iter().any(|outage| outage.lasts_at(elapsed))
    }
}

/// Accepts the connections to a resource. While it is down, it closes each one at once.
pub(super) struct FaultyListener {
    pub(super) listener: TcpListener,
    pub(super) downtime: Downtime,
}

impl Listener for FaultyListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if !self.downtime.is_now() {
                let connection =
                    Connection { stream, downtime: self.downtime.clone(), is_cut: ConnectionCutter::default() };
                return (connection, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends, without another byte, when its resource goes down or when it is cut.
pub(super) struct Connection {
    stream: TcpStream,
    downtime: Downtime,
    is_cut: ConnectionCutter,
}

/// Cuts one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionCutter(Arc<AtomicBool>);

impl ConnectionCutter {
    /// Closes the connection instead of sending what is written from now on.
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, FaultyListener>> for ConnectionCutter {
    fn connect_info(stream: IncomingStream<'_, FaultyListener>) -> Self {
        stream.io().is_cut.clone()
    }
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if self.is_cut.0.load(Ordering::Relaxed) || self.downtime.is_now() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
