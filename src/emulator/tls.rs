//! TLS: a certificate authority of this emulator alone, and one certificate for the loopback addresses.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

/// The names in the certificate.
const NAMES: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// What the servers of an emulator need for TLS.
pub(super) struct Tls {
    /// Accepts TLS connections.
    pub(super) acceptor: TlsAcceptor,
    /// The certificate of the authority, which clients must trust.
    pub(super) authority: String,
}

impl Tls {
    /// Creates an authority and its certificate. The key of the authority is forgotten.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(super) fn new() -> io::Result<Self> {
        let authority_key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = params([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "frcopy emulator");
        let authority = params.self_signed(&authority_key).map_err(io::Error::other)?.pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = server_params()?.signed_by(&key, &issuer).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = config.with_single_cert(vec![certificate.der().clone()], key.into()).map_err(io::Error::other)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority })
    }
}

/// A certificate that is valid from yesterday on, so that a clock that is slow accepts it, for about a year.
fn params<const N: usize>(names: [&str; N]) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(names.map(str::to_owned).to_vec()).map_err(io::Error::other)?;
    let yesterday = Timestamp::now().to_zoned(TimeZone::UTC).date().yesterday().map_err(io::Error::other)?;
    let day = |year: i16| {
        let (month, day) = (yesterday.month().unsigned_abs(), yesterday.day().unsigned_abs().min(28));
        date_time_ymd(year.into(), month, day)
    };
    params.not_before = day(yesterday.year());
    params.not_after = day(yesterday.year() + 1);
    Ok(params)
}

fn server_params() -> io::Result<CertificateParams> {
    let mut params = params(NAMES)?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // OpenSSL's strict checks, which newer Python versions use, want it.
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
