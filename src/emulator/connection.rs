//! Connections that can be closed without an answer.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::outage::Outage;

/// Delay after a failure to accept connections, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

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

impl FaultyListener {
    async fn accept(&self) -> Connection {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if !self.downtime.is_now() => return self.connection(stream),
                Ok(_) => {}
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn connection(&self, stream: TcpStream) -> Connection {
        let stream = match &self.tls {
            Some(tls) => Stream::Handshake(Box::new(tls.accept(stream))),
            None => Stream::Plain(stream),
        };
        Connection { stream, downtime: self.downtime.clone(), is_cut: ConnectionCutter::default() }
    }
}

/// Whether the client of one connection closed it before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves HTTP/1.1 until the future is dropped, which closes the connections. `answer` gets each request and the cutter
/// of its connection.
pub(super) async fn serve<F, A>(listener: FaultyListener, answer: A)
where
    A: Fn(ConnectionCutter, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            Some(_) = connections.join_next() => continue,
        };
        connections.spawn(serve_connection(connection, answer.clone()));
    }
}

async fn serve_connection<F, A>(connection: Connection, answer: A)
where
    A: Fn(ConnectionCutter, Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let cutter = connection.is_cut.clone();
    let service = service_fn(move |request| {
        let answer = answer(cutter.clone(), request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    // It fails if the client, an outage or the cutter closes the connection. The others go on.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
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
trait ByteStream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream for S {}

impl Stream {
    /// The stream for the bytes of HTTP, after the handshake.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn ByteStream>>> {
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
