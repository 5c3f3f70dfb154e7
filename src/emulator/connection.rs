//! Connections that can be closed without an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

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
    /// None for plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
}

impl Listener for FaultyListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if !self.downtime.is_now() {
                let stream = match &self.tls {
                    Some(tls) => Stream::Handshake(Box::new(tls.accept(stream))),
                    None => Stream::Plain(stream),
                };
                let (downtime, is_cut) = (self.downtime.clone(), ConnectionCutter::default());
                return (Connection { stream, downtime, is_cut }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends, without another byte, when its resource goes down or when it is cut.
pub(super) struct Connection {
    stream: Stream,
    downtime: Downtime,
    is_cut: ConnectionCutter,
}

/// The bytes of a connection.
enum Stream {
    Plain(TcpStream),
    /// It ends with the first read, so that a slow client does not stop the others.
    Handshake(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Closed,
}

/// A stream that carries the bytes of HTTP.
trait Bytes: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Bytes for S {}

impl Stream {
    /// The stream for the bytes of HTTP, after the handshake.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Bytes>>> {
        if let Self::Handshake(handshake) = self {
            *self = match ready!(Pin::new(handshake).poll(cx)) {
                Ok(stream) => Self::Tls(Box::new(stream)),
                // A client that does not trust the certificate.
                Err(_) => Self::Closed,
            };
        }
        match self {
            Self::Plain(stream) => Poll::Ready(Ok(Pin::new(stream))),
            Self::Tls(stream) => Poll::Ready(Ok(Pin::new(stream.as_mut()))),
            Self::Handshake(_) | Self::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Tls(_))
    }
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
        ready!(self.stream.poll_open(cx))?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        ready!(self.stream.poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stream.is_open() {
            return Poll::Ready(Ok(()));
        }
        // TLS writes what it holds back.
        self.check()?;
        ready!(self.stream.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stream.is_open() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.stream.poll_open(cx))?.poll_shutdown(cx)
    }
}
